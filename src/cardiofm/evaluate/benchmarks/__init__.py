"""One file a measurement: `main(parser().parse_args())` is what benchmarks/NAME.py and `cardiofm benchmark` run."""
