"""Holds no metric."""
