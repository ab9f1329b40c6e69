"""From a report to text, markdown, SVG and HTML: pure functions."""
