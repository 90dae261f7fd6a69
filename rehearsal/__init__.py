"""The embedded default: a simulated rack under the real engine, and the report of what happened there.

`rack/` is the world and its laws, `providers/` serve it to the engine as real resource providers,
`session` drives the engine, `report/` shows a roll. Nothing in components/ or lifecycle/ imports this.
"""
