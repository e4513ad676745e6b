# Turns .sql files into headers with sqlgen.
#   schema/schema.sql and schema/views.sql are the schema itself: generated as text.
#   migrations/*.sql become an array of steps.
#   Every other file holds named blocks, each prepared against that schema at build time.
set(STAX_SCHEMA_FILES ${CMAKE_SOURCE_DIR}/schema/schema.sql ${CMAKE_SOURCE_DIR}/schema/views.sql)

function(stax_generate_sql out)
  set(headers)
  foreach(sql ${ARGN})
    file(RELATIVE_PATH relative ${CMAKE_SOURCE_DIR} ${sql})
    set(header ${CMAKE_BINARY_DIR}/generated/${relative}.h)
    get_filename_component(folder ${header} DIRECTORY)
    file(MAKE_DIRECTORY ${folder})
    if(sql IN_LIST STAX_SCHEMA_FILES)
      get_filename_component(stem ${sql} NAME_WE)
      set(command sqlgen --text ${stem}_sql ${sql} ${header})
    else()
      set(command sqlgen --blocks ${sql} ${header} ${STAX_SCHEMA_FILES})
    endif()
    add_custom_command(OUTPUT ${header} COMMAND ${command} DEPENDS sqlgen ${sql} ${STAX_SCHEMA_FILES}
      COMMENT "sqlgen ${relative}" VERBATIM)
    list(APPEND headers ${header})
  endforeach()
  set(${out} ${headers} PARENT_SCOPE)
endfunction()

# migrations/NNNN_what.sql, in order, become generated/migrations/steps.h.
function(stax_generate_steps out)
  set(header ${CMAKE_BINARY_DIR}/generated/migrations/steps.h)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/generated/migrations)
  add_custom_command(OUTPUT ${header} COMMAND sqlgen --steps migration_steps ${header} ${ARGN}
    DEPENDS sqlgen ${ARGN} COMMENT "sqlgen migrations" VERBATIM)
  set(${out} ${header} PARENT_SCOPE)
endfunction()
