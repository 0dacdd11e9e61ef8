# One library per folder: hearth_library(name SOURCES ... DEPS ...), its tests with hearth_test(name SOURCES ... DEPS ...).

# Most of a compilation is headers (nlohmann/json, CLI11, libtorch). Files of a library that see each other's anonymous
# namespaces must not use a name twice; `hearth_library(name SEPARATE ...)` is for those that do.
set(CMAKE_UNITY_BUILD ${HEARTH_UNITY})
set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)

add_library(hearth_options INTERFACE)
target_include_directories(hearth_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_link_libraries(hearth_options INTERFACE Threads::Threads)
target_compile_options(hearth_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers
  # Results must not depend on where the compiler chose to fuse: kernels that want an FMA say so.
  -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # Cries wolf at string concatenation (GCC bug 105651).
  target_compile_options(hearth_options INTERFACE -Wno-restrict)
endif()
if(HEARTH_WERROR)
  target_compile_options(hearth_options INTERFACE -Werror)
endif()
if(HEARTH_SANITIZE)
  target_compile_options(hearth_options INTERFACE -fsanitize=${HEARTH_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(hearth_options INTERFACE -fsanitize=${HEARTH_SANITIZE})
endif()

function(hearth_library name)
  cmake_parse_arguments(ARG "SEPARATE" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  if(ARG_SEPARATE)
    set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
  endif()
  target_link_libraries(${name} PUBLIC hearth_options ${ARG_DEPS})
endfunction()

# Every test carries a label: unit (default), model (needs a development model, skips loudly without) or slow.
function(hearth_test name)
  if(NOT HEARTH_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "LABEL" "SOURCES;DEPS" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  # Tiny tensors on as many threads as a large machine has cores are slower, not faster: training_trainer_resume_test took 2.3 s
  # with two and 7.0 s with 32.
  set_tests_properties(${name} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT 600 ENVIRONMENT OMP_NUM_THREADS=2)
endfunction()

# A libFuzzer target, only built with HEARTH_FUZZ. scripts/fuzz runs them all, each on its seed corpus (the folder corpus/
# beside its source, where there is one); CTest does not.
function(hearth_fuzz name)
  if(NOT HEARTH_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endfunction()
