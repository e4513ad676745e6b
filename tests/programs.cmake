# tests/workloads/NAME.c|.cpp: programs that know their own truth -> tests/workloads/NAME in the build.
# tests/bench/bench_NAME.c: what scripts/bench runs -> tests/bench/bench_NAME in the build.
# Neither is built with sanitizers: they are what is measured, not what is checked.
if(STAX_TESTS AND NOT STAX_SANITIZE)
  enable_language(CXX)
  set(workload_dir ${CMAKE_CURRENT_SOURCE_DIR}/workloads)
  file(GLOB workloads CONFIGURE_DEPENDS ${workload_dir}/*.c ${workload_dir}/*.cpp)
  set(workload_targets)
  foreach(source ${workloads})
    get_filename_component(stem ${source} NAME_WE)
    add_executable(workload_${stem} ${source})
    # Frame pointers in every function, and every call a real call: the kernel's callchain is then right.
    # The options are replaced, not added to: the project's own are for C.
    set_target_properties(workload_${stem} PROPERTIES OUTPUT_NAME ${stem}
      COMPILE_OPTIONS "-Wall;-Wextra;-O2;-g1;-fno-omit-frame-pointer;-mno-omit-leaf-frame-pointer;-fno-optimize-sibling-calls"
      RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/workloads)
    target_link_libraries(workload_${stem} Threads::Threads)
    list(APPEND workload_targets workload_${stem})
  endforeach()
  target_compile_options(workload_inlines PRIVATE -g)
  target_compile_options(workload_inlined_waits PRIVATE -g -std=c++20)
  # omitted: what programs are usually like. Also linked statically, and without any symbols.
  set_target_properties(workload_omitted PROPERTIES COMPILE_OPTIONS "-Wall;-Wextra;-O2;-fomit-frame-pointer")
  foreach(variant static stripped)
    add_executable(workload_omitted_${variant} ${workload_dir}/omitted.cpp)
    set_target_properties(workload_omitted_${variant} PROPERTIES OUTPUT_NAME omitted_${variant}
      COMPILE_OPTIONS "-Wall;-Wextra;-O2;-fomit-frame-pointer"
      RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/workloads)
    target_link_libraries(workload_omitted_${variant} Threads::Threads)
    list(APPEND workload_targets workload_omitted_${variant})
  endforeach()
  # A program without glibc, all of it in one file.
  find_program(MUSL_GCC musl-gcc)
  if(MUSL_GCC)
    add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/tests/workloads/waits_musl
      COMMAND ${MUSL_GCC} -static -O2 -g1 -D_GNU_SOURCE -o ${CMAKE_BINARY_DIR}/tests/workloads/waits_musl
        ${workload_dir}/waits.c
      DEPENDS ${workload_dir}/waits.c ${workload_dir}/waiter.h ${workload_dir}/truth.h VERBATIM)
    add_custom_target(workload_waits_musl ALL DEPENDS ${CMAKE_BINARY_DIR}/tests/workloads/waits_musl)
    list(APPEND workload_targets workload_waits_musl)
  endif()
  # A program in Rust, where that is there.
  find_program(RUSTC rustc HINTS $ENV{HOME}/.cargo/bin)
  if(RUSTC)
    add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/tests/workloads/waits_rust
      COMMAND ${RUSTC} --edition 2021 -O -o ${CMAKE_BINARY_DIR}/tests/workloads/waits_rust
        ${workload_dir}/waits_rust.rs
      DEPENDS ${workload_dir}/waits_rust.rs VERBATIM)
    add_custom_target(workload_waits_rust ALL DEPENDS ${CMAKE_BINARY_DIR}/tests/workloads/waits_rust)
    list(APPEND workload_targets workload_waits_rust)
  endif()
  target_link_options(workload_omitted_static PRIVATE -static)
  target_link_options(workload_omitted_stripped PRIVATE -s)
  # plugins: two libraries of the same size and layout, that differ in a name.
  foreach(plugin alpha omega)
    add_library(workload_plugin_${plugin} MODULE ${workload_dir}/plugin/plugin.c)
    set_target_properties(workload_plugin_${plugin} PROPERTIES PREFIX "" OUTPUT_NAME plugin_${plugin}
      COMPILE_OPTIONS "-Wall;-Wextra;-O2;-g1;-fno-omit-frame-pointer;-mno-omit-leaf-frame-pointer"
      COMPILE_DEFINITIONS "BURN=burn_${plugin}"
      LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/workloads)
    list(APPEND workload_targets workload_plugin_${plugin})
  endforeach()
  target_link_libraries(workload_plugins ${CMAKE_DL_LIBS})
  add_custom_command(TARGET workload_odd_names POST_BUILD
    COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C sed -i -f ${workload_dir}/odd_names.sed
      $<TARGET_FILE:workload_odd_names> VERBATIM)
  add_custom_target(workloads DEPENDS ${workload_targets})

  file(GLOB benches CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/bench/bench_*.c)
  set(bench_targets)
  foreach(source ${benches})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    target_link_libraries(${name} query ingest capture schema base PkgConfig::SQLITE)
    set_target_properties(${name} PROPERTIES
      RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/bench)
    list(APPEND bench_targets ${name})
  endforeach()
  add_custom_target(benches DEPENDS ${bench_targets})
endif()
