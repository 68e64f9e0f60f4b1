# LibTorch's headers cost 5 to 15 seconds a file: layers with TORCH share them precompiled (torch_headers.h), tests with
# Catch2's on top. Every file still includes what it uses: -DSETUN_PRECOMPILE=OFF builds without.
option(SETUN_PRECOMPILE "Share LibTorch's headers precompiled" ON)
# One flag for libraries and programs, so that both can share a precompiled header.
function(setun_plain_pic target)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIC)
endfunction()
function(setun_torch_headers name header)
  if(SETUN_PRECOMPILE)
    file(WRITE ${CMAKE_BINARY_DIR}/${name}.cpp "")
    add_library(${name} OBJECT ${CMAKE_BINARY_DIR}/${name}.cpp)
    target_link_libraries(${name} PRIVATE setun_flags setun_libtorch ${ARGN})
    target_precompile_headers(${name} PRIVATE ${header})
    setun_plain_pic(${name})
    if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")  # a cached one is valid wherever LibTorch is installed anew
      target_compile_options(${name} PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
    endif()
  endif()
endfunction()
function(setun_reuse_torch_headers target name)
  if(SETUN_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM ${name})
    setun_plain_pic(${target})
  endif()
endfunction()

# setun_layer(<name> [TORCH] SOURCES ... [LIBS ...]): one layer of csrc/ as an OBJECT library, gathered into libsetun.
# A layer without TORCH is compiled without LibTorch's include path, so it cannot include torch by accident.
function(setun_layer name)
  cmake_parse_arguments(L "TORCH" "" "SOURCES;LIBS" ${ARGN})
  add_library(setun_${name} OBJECT ${L_SOURCES})
  target_link_libraries(setun_${name} PUBLIC setun_flags ${L_LIBS})
  if(L_TORCH)
    target_link_libraries(setun_${name} PUBLIC setun_libtorch)
    setun_reuse_torch_headers(setun_${name} setun_torch_headers)
  endif()
  set_property(GLOBAL APPEND PROPERTY SETUN_LAYERS setun_${name})
endfunction()

# setun_test(<name> SOURCES ... [LABELS ...]): one Catch2 program build/<preset>/tests/<name>; ctest runs it.
function(setun_test name)
  cmake_parse_arguments(T "" "" "SOURCES;LIBS;LABELS" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE setun_test_support setun_lib setun_libtorch setun_flags ${T_LIBS})
  setun_reuse_torch_headers(${name} setun_test_headers)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${T_LABELS}")
endfunction()
