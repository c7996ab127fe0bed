/* The live display on a pseudo-terminal, read back through a small terminal emulator. */
#include "view.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS 200
#define COLUMNS 200

static int64_t now_ms;
static int64_t fake_clock(void)
{
    return now_ms;
}

/* Rows never scroll away: the test wants to see all that was written. Cells hold ASCII; any other
 * character is a '~'. */
struct screen {
    char cells[ROWS][COLUMNS + 1];
    int row, column, columns;
    bool wrap; /* the last column was written: the next character goes to the next row */
};

static void put_cell(struct screen *s, char c)
{
    if (s->wrap) {
        s->row++;
        s->column = 0;
        s->wrap = false;
    }
    assert_true(s->row < ROWS && s->column < COLUMNS);
    s->cells[s->row][s->column] = c;
    if (s->column + 1 == s->columns)
        s->wrap = true;
    else
        s->column++;
}

static size_t put_escape(struct screen *s, const char *p, size_t n)
{
    size_t i = 2;
    int number = 0;
    assert_true(n >= 3 && p[1] == '[');
    for (; i < n && p[i] >= '0' && p[i] <= '9'; i++)
        number = number * 10 + (p[i] - '0');
    assert_true(i < n);
    switch (p[i]) {
    case 'A':
        s->row -= number;
        s->wrap = false;
        assert_true(s->row >= 0);
        break;
    case 'K':
        memset(&s->cells[s->row][s->column], ' ', (size_t)(COLUMNS - s->column));
        break;
    case 'J':
        memset(&s->cells[s->row][s->column], ' ', (size_t)(COLUMNS - s->column));
        for (int r = s->row + 1; r < ROWS; r++)
            memset(s->cells[r], ' ', COLUMNS);
        break;
    default:
        assert_int_equal(p[i], 'm');
    }
    return i + 1;
}

static void feed(struct screen *s, const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)p[i];
        if (c == 0x1B) {
            i += put_escape(s, p + i, n - i);
            continue;
        }
        if (c == '\r') {
            s->column = 0;
            s->wrap = false;
        } else if (c == '\n') {
            s->row++;
            s->wrap = false;
        } else if (c < 0x80) {
            put_cell(s, (char)c);
        } else if (c >= 0xC0) {
            put_cell(s, '~');
        }
        i++;
    }
}

struct fixture {
    int master;
    FILE *out;
    struct mrp_ui *ui;
    struct mrp_sink sink;
    struct screen screen;
};

static void resize(struct fixture *f, int columns, int rows)
{
    struct winsize w = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
    assert_int_equal(ioctl(f->master, TIOCSWINSZ, &w), 0);
    f->screen.columns = columns;
}

static void start(struct fixture *f, int columns, int rows)
{
    int slave = -1;
    memset(f, 0, sizeof *f);
    memset(f->screen.cells, ' ', sizeof f->screen.cells);
    setenv("TERM", "xterm", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    unsetenv("CI");
    unsetenv("NO_COLOR");
    assert_int_equal(openpty(&f->master, &slave, NULL, NULL, NULL), 0);
    resize(f, columns, rows);
    fcntl(f->master, F_SETFL, O_NONBLOCK);
    f->out = fdopen(slave, "w");
    assert_non_null(f->out);
    assert_true(mrp_ui_color(f->out));
    now_ms = 1000;
    struct mrp_ui_options options = {.format = MRP_LOG_AUTO, .color = true, .out = f->out};
    f->ui = mrp_ui_new_clock(&options, fake_clock);
    assert_non_null(f->ui);
    f->sink = mrp_ui_sink(f->ui);
}

/* All that was written so far onto the screen. */
static void look(struct fixture *f)
{
    char buf[65536];
    ssize_t n = 0;
    while ((n = read(f->master, buf, sizeof buf)) > 0)
        feed(&f->screen, buf, (size_t)n);
}

static void send(struct fixture *f, const char *json)
{
    mrp_auto(mrp_free_json) json_t *event = json_loads(json, 0, NULL);
    assert_non_null(event);
    f->sink.event(f->sink.arg, event);
    now_ms += 100;
    f->sink.tick(f->sink.arg);
    look(f);
}

static void stop(struct fixture *f)
{
    mrp_ui_free(&f->ui);
    look(f);
    fclose(f->out);
    close(f->master);
}

/* The row without its blanks at the end. */
static char *row(struct fixture *f, int r)
{
    char *line = f->screen.cells[r];
    size_t n = COLUMNS;
    while (n > 0 && line[n - 1] == ' ')
        n--;
    line[n] = '\0';
    return line;
}

static int count_rows(struct fixture *f, const char *text)
{
    int count = 0;
    for (int r = 0; r < ROWS; r++)
        count += strstr(row(f, r), text) != NULL;
    return count;
}

static void test_bar(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, 80, 24);
    send(&f, "{\"event\":\"run-started\",\"run\":\"r\",\"spec\":\"s\",\"stages\":[\"a\",\"b\"]}");
    send(&f, "{\"event\":\"stage-started\",\"stage\":\"a\",\"uses\":\"x/y\"}");
    send(&f, "{\"event\":\"progress\",\"stage\":\"a\",\"what\":\"core:1.4\",\"bytes\":1048576,"
             "\"total-bytes\":4194304}");
    assert_string_equal(row(&f, 0), "run r of s");
    assert_string_equal(row(&f, 1), "[a] x/y");
    assert_string_equal(row(&f, 2),
                        " a  ~~~~~~~~~~~~~~~~~~~~  25%  1.0 MiB of 4.0 MiB  0 s  core:1.4");
    assert_string_equal(row(&f, 3), " 0 of 2 stages done, 1 running, 0 s");
    assert_string_equal(row(&f, 4), "");
    /* What does not fit behind the amounts goes under them. */
    send(&f,
         "{\"event\":\"progress\",\"stage\":\"a\",\"what\":\"core:1.4: 1.0 MiB of 2.0 MiB, 3 of 5 "
         "blobs\",\"bytes\":1048576,\"total-bytes\":4194304}");
    assert_string_equal(row(&f, 2), " a  ~~~~~~~~~~~~~~~~~~~~  25%  1.0 MiB of 4.0 MiB  0 s");
    assert_string_equal(row(&f, 3), "    core:1.4: 1.0 MiB of 2.0 MiB, 3 of 5 blobs");
    assert_string_equal(row(&f, 4), " 0 of 2 stages done, 1 running, 0 s");
    /* A phase is none of the stages that are counted. */
    send(&f, "{\"event\":\"phase-started\",\"phase\":\"build\"}");
    assert_int_equal(count_rows(&f, " 0 of 2 stages done, 1 running, 0 s"), 1);
    send(&f, "{\"event\":\"phase-ended\",\"phase\":\"build\",\"result\":\"succeeded\"}");
    send(&f, "{\"event\":\"stage-ended\",\"stage\":\"a\",\"result\":\"changed\"}");
    send(&f, "{\"event\":\"run-ended\",\"result\":\"changed\"}");
    stop(&f);
    assert_int_equal(count_rows(&f, "stages done"), 0);
    assert_int_equal(count_rows(&f, "25%"), 0);
    assert_int_equal(count_rows(&f, "changed in"), 1);
}

/* Lines of the log go above the live ones; none is lost, doubled or out of order. */
static void test_log_above(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, 40, 24);
    send(&f, "{\"event\":\"stage-started\",\"stage\":\"a\"}");
    send(&f, "{\"event\":\"stage-started\",\"stage\":\"b\"}");
    for (int i = 0; i < 40; i++) {
        mrp_auto(mrp_free_str) char *json = mrp_strf(
            "{\"event\":\"log\",\"stage\":\"a\",\"level\":\"info\",\"text\":\"line-%02d%s\"}", i,
            i % 5 == 0   ? " is much longer than the terminal is wide, so it folds"
            : i % 7 == 0 ? " as wide as it is, to the end"
                         : "");
        send(&f, json);
    }
    send(&f, "{\"event\":\"run-ended\",\"result\":\"changed\"}");
    stop(&f);
    int last = -1;
    for (int i = 0; i < 40; i++) {
        char text[16];
        snprintf(text, sizeof text, "line-%02d", i);
        assert_int_equal(count_rows(&f, text), 1);
        for (int r = 0; r < ROWS; r++) {
            if (strstr(row(&f, r), text)) {
                assert_true(r > last);
                last = r;
            }
        }
    }
    assert_int_equal(count_rows(&f, "running"), 0);
}

static void test_many_stages(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, 60, 8);
    for (int i = 0; i < 9; i++) {
        mrp_auto(mrp_free_str) char *json =
            mrp_strf("{\"event\":\"stage-started\",\"stage\":\"stage-%d\"}", i);
        send(&f, json);
    }
    assert_int_equal(count_rows(&f, "5 not shown"), 1);
    assert_int_equal(count_rows(&f, " stage-"), 4);
    stop(&f);
    assert_int_equal(count_rows(&f, " stage-"), 0);
}

/* The window gets narrow: lines are cut to it, and the next draw goes up over the folded ones. */
static void test_resize(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, 100, 24);
    send(&f, "{\"event\":\"stage-started\",\"stage\":\"a-stage-with-a-long-name\"}");
    send(&f, "{\"event\":\"progress\",\"stage\":\"a-stage-with-a-long-name\",\"bytes\":1,"
             "\"total-bytes\":4,\"what\":\"something with many words about it\"}");
    size_t wide = f.ui->live.widths[0];
    assert_true(wide > 60);
    resize(&f, 30, 24);
    for (size_t i = 0; i < f.ui->live.count; i++) /* what a terminal that folds does */
        f.screen.row += (int)((f.ui->live.widths[i] + 29) / 30 - 1);
    send(&f, "{\"event\":\"log\",\"level\":\"info\",\"text\":\"after\"}");
    for (size_t i = 0; i < f.ui->live.count; i++)
        assert_true(f.ui->live.widths[i] < 30);
    assert_int_equal(count_rows(&f, "after"), 1);
    stop(&f);
    assert_int_equal(count_rows(&f, "%"), 0);
}

static void test_not_live(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, 80, 24);
    setenv("CI", "true", 1);
    struct mrp_ui_options options = {.format = MRP_LOG_AUTO, .out = f.out};
    mrp_auto(mrp_ui_free) struct mrp_ui *ui = mrp_ui_new_clock(&options, fake_clock);
    assert_false(ui->live.on);
    setenv("NO_COLOR", "1", 1);
    assert_false(mrp_ui_color(f.out));
    unsetenv("NO_COLOR");
    setenv("TERM", "dumb", 1);
    assert_false(mrp_ui_color(f.out));
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bar),         cmocka_unit_test(test_log_above),
        cmocka_unit_test(test_many_stages), cmocka_unit_test(test_resize),
        cmocka_unit_test(test_not_live),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
