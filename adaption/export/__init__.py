"""Models for other runtimes, and the check that they compute the same. `verify` needs onnxruntime;
nothing else here imports it."""
