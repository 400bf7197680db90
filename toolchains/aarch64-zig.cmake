# zig cc for aarch64; Q4_ZIG in the environment is the path of the zig program. It brings its own C library stubs, and
# the version in the target is the oldest glibc that the result runs on (manylinux_2_28).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER "$ENV{Q4_ZIG}" cc)
set(CMAKE_C_COMPILER_TARGET aarch64-linux-gnu.2.28)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
