"""Real parts on one machine: etcd, Kubernetes' control plane, KWOK's nodes, a Redfish emulator.

The lifecycle's adapters meet them in `make test-lab`, people in `ingot lab`. Everything listens on loopback, with
TLS; every part is a process of its own that says in its environment which lab it belongs to. It needs Linux.
"""
