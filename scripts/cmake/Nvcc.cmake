# nvcc by custom commands rather than as a CMake language: it is optional, and the same sources are also compiled as C++.
# -fmad=false: a * b + c is two roundings, as in docs/numerics.md. No fast-math option may stand here.
find_program(SETUN_NVCC nvcc PATHS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin /usr/local/cuda/bin)
set(SETUN_CUDA_ARCHITECTURES "80;86;89;90a;90-virtual" CACHE STRING "GPU architectures of the CUDA kernels; -virtual is PTX")
if(SETUN_CUDA AND NOT SETUN_NVCC)
  message(FATAL_ERROR "SETUN_CUDA needs nvcc: install the CUDA toolkit, set CUDA_HOME, or configure without -DSETUN_CUDA=ON")
endif()
if(SETUN_NVCC)
  cmake_path(GET SETUN_NVCC PARENT_PATH SETUN_CUDA_TOOLKIT)
  cmake_path(GET SETUN_CUDA_TOOLKIT PARENT_PATH SETUN_CUDA_TOOLKIT)
endif()
set(SETUN_NVCC_FLAGS -std=c++20 -O3 -fmad=false -I${CMAKE_SOURCE_DIR}/cuda)

# setun_ptx(<outputs variable> <architecture> <sources>...): PTX as nvcc emits it, one file a source.
function(setun_ptx outputs arch)
  set(made)
  foreach(source ${ARGN})
    get_filename_component(name ${source} NAME_WE)
    set(ptx ${CMAKE_CURRENT_BINARY_DIR}/ptx/${name}.${arch}.ptx)
    add_custom_command(OUTPUT ${ptx} DEPENDS ${source} DEPFILE ${ptx}.d VERBATIM
      COMMAND ${SETUN_NVCC} ${SETUN_NVCC_FLAGS} -ptx -gencode arch=compute_${arch},code=compute_${arch}
              -MD -MF ${ptx}.d ${source} -o ${ptx}
      COMMENT "PTX of ${name} for compute_${arch}")
    list(APPEND made ${ptx})
  endforeach()
  set(${outputs} ${made} PARENT_SCOPE)
endfunction()

# setun_gpu_objects(<outputs variable> <architectures> <sources>...): objects, each with ptxas's report (.log) and the
# folder of its cubins (.keep) beside it.
function(setun_gpu_objects outputs architectures)
  set(gencode)
  foreach(arch ${architectures})
    if(arch MATCHES "^(.+)-virtual$")
      list(APPEND gencode -gencode arch=compute_${CMAKE_MATCH_1},code=compute_${CMAKE_MATCH_1})
    else()
      list(APPEND gencode -gencode arch=compute_${arch},code=sm_${arch})
    endif()
  endforeach()
  set(made)
  foreach(source ${ARGN})
    get_filename_component(name ${source} NAME_WE)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/gpu/${name}.o)
    add_custom_command(OUTPUT ${object} BYPRODUCTS ${object}.log DEPENDS ${source} DEPFILE ${object}.d VERBATIM
      COMMAND sh -c "rm -rf ${object}.keep && mkdir -p ${object}.keep && \"$@\" >${object}.log 2>&1 || { cat ${object}.log; exit 1; }" nvcc
              ${SETUN_NVCC} ${SETUN_NVCC_FLAGS} ${gencode} -Xptxas -v --keep --keep-dir ${object}.keep -Xcompiler -fPIC
              -MD -MF ${object}.d -c ${source} -o ${object}
      COMMENT "${name} for ${architectures}")
    list(APPEND made ${object})
  endforeach()
  set(${outputs} ${made} PARENT_SCOPE)
endfunction()
