"""Readers of requests: gateways, SDK logs, spans, batch files, tables."""
