"""The networks, one kind a module: what each computes, and the plain values it is built from."""
