"""Summaries as text, HTML, Markdown and JSON."""
