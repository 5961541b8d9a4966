"""The profilers, one per file, all with the methods of `profiler.Profiler`."""
