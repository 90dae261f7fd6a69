"""What a fleet is: Pulumi component resources, and the pure data they are made from.

`environment`, `images`, `boot` and `rollout.planner` are plain data and pure functions: they never
import pulumi, so that lifecycle steps and the rack can use them too. Everything else here declares
resources; nothing in this package runs while a step executes.
"""
