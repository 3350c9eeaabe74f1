"""Speed beside a reference, side by side in one run; results are kept in benchmarks/results/ by date and host."""
