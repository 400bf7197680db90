// Independent sums of a peak loop: more than latency times issue width of any of these instructions.
#define PEAK_SUMS 10
