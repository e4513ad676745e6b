# capture/staxd/systemd/staxd.KIND becomes generated/cli/units/staxd_KIND.h with the text as
# staxd_KIND_text: `stax setup` installs what it was built with.
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/generated/cli/units)
foreach(kind service socket)
  set(unit ${CMAKE_SOURCE_DIR}/capture/staxd/systemd/staxd.${kind})
  set(header ${CMAKE_BINARY_DIR}/generated/cli/units/staxd_${kind}.h)
  add_custom_command(OUTPUT ${header} COMMAND sqlgen --text staxd_${kind}_text ${unit} ${header}
    DEPENDS sqlgen ${unit} COMMENT "sqlgen capture/staxd/systemd/staxd.${kind}" VERBATIM)
  target_sources(cli PRIVATE ${header})
endforeach()
