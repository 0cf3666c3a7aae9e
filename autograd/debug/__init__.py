"""Anomaly detection, graph growth warnings and drawings of the graph."""
