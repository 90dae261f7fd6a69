"""What the project needs around itself and no package manager of Python carries. No product code."""
