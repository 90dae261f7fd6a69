//go:build tools

// Package engine pins the Pulumi engine: the requirement that keeps it, and all it needs, in go.mod and go.sum.
package engine

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
