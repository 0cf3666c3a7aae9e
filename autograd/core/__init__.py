"""The engine: tensors, the recorded graph, primitives, version counters and pytrees."""
