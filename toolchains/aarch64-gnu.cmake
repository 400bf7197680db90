# gcc for aarch64: Debian's and Ubuntu's gcc-aarch64-linux-gnu. On an aarch64 host the same name is the host's own gcc.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
if(DEFINED ENV{Q4_CC}) # another version of it
  set(CMAKE_C_COMPILER $ENV{Q4_CC})
endif()
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
