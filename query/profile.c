/* profile.c - all that a comparison wants of one run, in one snapshot. */
#include <math.h>

#include "query/profile.sql.h"
#include "query/view.h"

enum { MAX_WEIGHTS = 100000 };

/* Squared coefficient of variation of the weights of samples. */
static double weight_variation(struct query *q)
{
    struct stmt *s = db_stmt(q->db, &sql_profile_weights);
    double variation = 0;

    stmt_bind_int(s, profile_weights_p_limit, MAX_WEIGHTS);
    if (stmt_next(s)) {
        double n = stmt_double(s, profile_weights_c_n);
        double sum = stmt_double(s, profile_weights_c_sum_ns);
        double square = stmt_double(s, profile_weights_c_sum_square);
        variation = sum > 0 ? n * square / (sum * sum) - 1 : 0;
    }
    stmt_reset(s);
    return isfinite(variation) && variation > 0 ? variation : 0;
}

/* How much of the run the filter looks at. */
static int64_t range_ns(const struct query *q, const struct filter *filter)
{
    int64_t from = filter->has_from ? filter->from_ns : 0;
    int64_t to = filter->has_to && filter->to_ns < q->run.end_ns ? filter->to_ns : q->run.end_ns;

    return to > from ? to - from : 0;
}

/* "main": {binary, thread} of the target itself: in another build they may be called otherwise. */
static void add_main(struct query *q, json_t *data)
{
    struct stmt *s = db_stmt(q->db, &sql_profile_main);
    json_t *o = json_object(), *binary = NULL, *thread = NULL;

    if (stmt_next(s)) {
        const char *name = stmt_text(s, profile_main_c_binary);
        binary = *name ? json_clean_string(name) : NULL;
        thread = json_clean_string(stmt_text(s, profile_main_c_thread));
    }
    stmt_reset(s);
    json_object_set_new(o, "binary", binary ? binary : json_null());
    json_object_set_new(o, "thread", thread ? thread : json_null());
    json_object_set_new(data, "main", o);
}

/* Another view in the same snapshot; own: parameters beside those of the filter. */
static int add_view(struct query *q, const struct params *p, view_fn *view, json_t *own,
                    const char *key, json_t *data, struct err *e)
{
    struct params params = {.object = own, .filter = p->filter};
    json_t *member = json_object();
    int rc = view(q, &params, member, e);

    json_object_set_new(data, key, member);
    json_decref(own);
    return rc < 0 ? rc : db_status(q->db, e);
}

/* Each view has warned of the run on its own. */
static void drop_repeated(json_t *warnings)
{
    for (size_t i = json_array_size(warnings); i-- > 1;) {
        bool is_repeated = false;
        for (size_t k = 0; k < i && !is_repeated; k++) {
            is_repeated = json_equal(json_array_get(warnings, i), json_array_get(warnings, k));
        }
        if (is_repeated) {
            json_array_remove(warnings, i);
        }
    }
}

int view_profile(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    json_object_set_new(data, "has_off_cpu", json_boolean(q->run.has_off_cpu));
    view_set_int(data, "elapsed_ns", range_ns(q, &p->filter));
    json_object_set_new(data, "weight_variation", json_real(weight_variation(q)));
    add_main(q, data);
    int rc = add_view(q, p, view_top, json_pack("{s:i}", "limit", 0), "on_cpu", data, e);
    if (rc == 0 && q->run.has_off_cpu) {
        rc = add_view(q, p, view_top, json_pack("{s:i,s:b}", "limit", 0, "off_cpu", 1), "off_cpu",
                      data, e);
    } else {
        json_object_set_new(data, "off_cpu", json_null());
    }
    if (rc == 0) {
        rc = add_view(q, p, view_threads, json_pack("{s:i}", "limit", 0), "threads", data, e);
    }
    drop_repeated(q->warnings);
    return rc;
}
