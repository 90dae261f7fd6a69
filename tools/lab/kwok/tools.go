//go:build tools

// Package kwok pins the simulator of the lab's nodes and pods, in go.mod and go.sum.
package kwok

import _ "sigs.k8s.io/kwok/cmd/kwok"
