"""What a fleet on AWS stands on: network, access, load balancer, bucket, launch templates, addresses and volumes.

Registered once, before any node. The instances are not here: the steps launch and end them, one at a time
(docs/decisions/0090.md), and find all of this by the names and tags in lifecycle/ec2.py.
"""
