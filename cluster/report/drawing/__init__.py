"""Charts, bars, legends and HTML of the report."""
