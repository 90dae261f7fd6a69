"""The AWS of a rack: moto's model of its API, in this process, with a memory of its own."""
