# Puts the tables that `mrpipe help --man` prints into the manual page: IN with @TABLES@ -> OUT.
execute_process(COMMAND "${MRPIPE}" help --man OUTPUT_VARIABLE tables RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "mrpipe help --man failed: ${result}")
endif()
string(STRIP "${tables}" TABLES)
configure_file("${IN}" "${OUT}" @ONLY)
