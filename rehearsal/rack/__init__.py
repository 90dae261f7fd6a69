"""The simulated rack: one world of hosts, a cluster, etcd, workloads and storage, on virtual time."""
