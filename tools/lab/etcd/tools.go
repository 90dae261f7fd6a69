//go:build tools

// Package etcd pins the lab's etcd and its command line, in go.mod and go.sum.
package etcd

import (
	_ "go.etcd.io/etcd/etcdctl/v3"
	_ "go.etcd.io/etcd/server/v3"
)
