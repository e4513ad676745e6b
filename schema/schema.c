/* schema.c - the text of the schema, as it is applied and as it is shown. */
#include "schema/db.h"

#include "schema/schema.sql.h"
#include "schema/views.sql.h"

const char *schema_text(void)
{
    return schema_sql_literal "\n" views_sql_literal;
}
