# clang and lld for aarch64, with the C library and libgcc of Debian's and Ubuntu's cross packages.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER clang)
if(DEFINED ENV{Q4_CC}) # another version of it
  set(CMAKE_C_COMPILER $ENV{Q4_CC})
endif()
set(CMAKE_C_COMPILER_TARGET aarch64-linux-gnu)
foreach(kind EXE MODULE SHARED)
  set(CMAKE_${kind}_LINKER_FLAGS_INIT -fuse-ld=lld)
endforeach()
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
