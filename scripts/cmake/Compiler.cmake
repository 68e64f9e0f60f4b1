# Flags every target shares. Canonical numerics need -ffp-contract=off: a fused multiply-add would change codes.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")

add_library(setun_flags INTERFACE)
target_compile_options(setun_flags INTERFACE -ffp-contract=off -Wall -Wextra -Wshadow -Wnon-virtual-dtor)
target_include_directories(setun_flags INTERFACE
  $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/csrc> $<INSTALL_INTERFACE:include/setun>)
if(SETUN_WERROR)
  target_compile_options(setun_flags INTERFACE -Werror)
endif()
if(SETUN_SANITIZE)
  target_compile_options(setun_flags INTERFACE -fsanitize=${SETUN_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(setun_flags INTERFACE -fsanitize=${SETUN_SANITIZE})
endif()

# at::parallel_for in our own files is serial unless they are compiled with OpenMP. The OpenMP runtime must come before
# torch_cpu on the link line, so that one runtime serves both (LibTorch's GOMP calls bind to libomp).
find_package(OpenMP QUIET COMPONENTS CXX)
if(NOT OpenMP_CXX_FOUND)
  message(FATAL_ERROR "Setun needs OpenMP for ${CMAKE_CXX_COMPILER_ID}: apt-get install libomp-dev (clang) or use g++")
endif()

find_program(SETUN_CCACHE ccache)
if(SETUN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers are cached too: their time stamps do not matter, their contents do.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${SETUN_CCACHE})
endif()
find_program(SETUN_LLD ld.lld)
if(SETUN_LLD AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_link_options(-fuse-ld=lld)
endif()
