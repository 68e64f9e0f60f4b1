# setun_layer(<name> [TORCH] SOURCES ... [LIBS ...]): one layer of csrc/ as an OBJECT library, gathered into libsetun.
# A layer without TORCH is compiled without LibTorch's include path, so it cannot include torch by accident.
function(setun_layer name)
  cmake_parse_arguments(L "TORCH" "" "SOURCES;LIBS" ${ARGN})
  add_library(setun_${name} OBJECT ${L_SOURCES})
  target_link_libraries(setun_${name} PUBLIC setun_flags ${L_LIBS})
  if(L_TORCH)
    target_link_libraries(setun_${name} PUBLIC setun_libtorch)
  endif()
  set_property(GLOBAL APPEND PROPERTY SETUN_LAYERS setun_${name})
endfunction()

# setun_test(<name> SOURCES ... [LABELS ...]): one Catch2 program build/<preset>/tests/<name>; ctest runs it.
function(setun_test name)
  cmake_parse_arguments(T "" "" "SOURCES;LIBS;LABELS" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE setun_test_support setun_lib setun_libtorch setun_flags ${T_LIBS})
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${T_LABELS}")
endfunction()
