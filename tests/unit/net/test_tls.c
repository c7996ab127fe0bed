/* TLS: certificates are checked, a bundle can be named, no redirect leads down to http, and of what
 * comes in many records at once nothing stays behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/http.h>
#include <mrpipe/text.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct mrp_error err;
static SSL_CTX *ctx;
static char *folder;
static char *bundle;
static int listener;
static int port;
static pthread_t thread;
static atomic_uint tunnels;
static atomic_uint splinters_sent;

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME *name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"127.0.0.1", -1, -1,
                               0);
    X509_set_issuer_name(x, name);
    X509V3_CTX v3;
    X509V3_set_ctx_nodb(&v3);
    X509V3_set_ctx(&v3, x, x, NULL, NULL, 0);
    X509_EXTENSION *names =
        X509V3_EXT_conf_nid(NULL, &v3, NID_subject_alt_name, "IP:127.0.0.1, DNS:registry.test");
    X509_EXTENSION *authority =
        X509V3_EXT_conf_nid(NULL, &v3, NID_basic_constraints, "critical,CA:TRUE");
    X509_add_ext(x, names, -1);
    X509_add_ext(x, authority, -1);
    X509_EXTENSION_free(names);
    X509_EXTENSION_free(authority);
    X509_sign(x, key, EVP_sha256());
    return x;
}

enum {
    BODY = 200000,
    PIECE = 977,
    SPLINTERS = 55000,
    SPLINTER = 11,
    AT_ONCE = 8,
    THREADS = 256,
    LIMIT_MS = 10000
};

/* All of `text` by records of `piece` bytes, which come to the socket at once: what reads them
 * by one call is not told of the rest. */
static void send_records(SSL *ssl, int fd, const char *text, size_t len, size_t piece)
{
    BIO *all = BIO_new(BIO_s_mem());
    BIO_up_ref(all);
    SSL_set0_wbio(ssl, all);
    for (size_t at = 0; at < len; at += piece)
        SSL_write(ssl, text + at, (int)(len - at < piece ? len - at : piece));
    char *bytes = NULL;
    long n = BIO_get_mem_data(all, &bytes);
    for (long at = 0; at < n;) {
        ssize_t sent = send(fd, bytes + at, (size_t)(n - at), MSG_NOSIGNAL);
        if (sent <= 0)
            break;
        at += sent;
    }
    BIO_free(all);
}

/* Silence, until the client has hung up. */
static void wait_for_the_end(SSL *ssl)
{
    char rest[512];
    while (SSL_read(ssl, rest, sizeof rest) > 0)
        continue;
}

/* So many that they fill what the TLS layer takes at once several times over. */
static void answer_by_splinters(SSL *ssl, int fd)
{
    mrp_auto(mrp_free_str) char *head =
        mrp_strf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SPLINTERS);
    mrp_auto(mrp_buf_done) struct mrp_buf text;
    mrp_buf_init(&text, (size_t)SPLINTERS * 2);
    mrp_buf_add(&text, head, strlen(head));
    for (int i = 0; i < SPLINTERS; i++)
        mrp_buf_add(&text, "x", 1);
    send_records(ssl, fd, text.data, text.len, SPLINTER);
    atomic_fetch_add(&splinters_sent, 1);
    wait_for_the_end(ssl);
}

static void answer_by_records(SSL *ssl, int fd, bool refuse)
{
    static const char body[BODY];
    mrp_auto(mrp_free_str) char *head =
        refuse ? mrp_strf("HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nnot yours")
               : mrp_strf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BODY);
    mrp_auto(mrp_buf_done) struct mrp_buf text;
    mrp_buf_init(&text, (size_t)BODY * 2);
    mrp_buf_add(&text, head, strlen(head));
    mrp_buf_add(&text, body, refuse ? 0 : BODY);
    send_records(ssl, fd, text.data, text.len, refuse ? 7 : PIECE);
    wait_for_the_end(ssl);
}

/* The proxy for a name that exists nowhere: it leads here. */
static void tunnel(int fd)
{
    char head[4096];
    if (!receive_head(fd, head, sizeof head))
        return;
    atomic_fetch_add(&tunnels, 1);
    static const char ok[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    static const char no[] = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    bool known = mrp_starts(head, "CONNECT registry.test:");
    send(fd, known ? ok : no, known ? sizeof ok - 1 : sizeof no - 1, MSG_NOSIGNAL);
}

/* One request per connection: "/down" is sent on to http. */
static void talk(int fd)
{
    char first = 0;
    if (recv(fd, &first, 1, MSG_PEEK) == 1 && first == 'C')
        tunnel(fd);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    char request[8192];
    int n = SSL_accept(ssl) == 1 ? SSL_read(ssl, request, sizeof request - 1) : 0;
    request[n > 0 ? n : 0] = '\0';
    bool refuse = mrp_starts(request, "PUT ");
    if (mrp_starts(request, "GET /splinters ")) {
        answer_by_splinters(ssl, fd);
    } else if (refuse || strstr(request, "/records ")) {
        answer_by_records(ssl, fd, refuse);
    } else if (n > 0) {
        static const char ok[] =
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecure";
        static const char down[] = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n"
                                   "Content-Length: 0\r\nConnection: close\r\n\r\n";
        const char *text = mrp_starts(request, "GET /down ") ? down : ok;
        SSL_write(ssl, text, (int)strlen(text));
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    close(fd);
}

static void *talk_alone(void *arg)
{
    talk((int)(intptr_t)arg);
    return NULL;
}

static void *serve(void *arg)
{
    pthread_t talks[THREADS];
    size_t n = 0;
    (void)arg;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            break;
        if (n < THREADS && pthread_create(&talks[n], NULL, talk_alone, (void *)(intptr_t)fd) == 0)
            n++;
        else
            close(fd);
    }
    while (n)
        pthread_join(talks[--n], NULL);
    return NULL;
}

static int get(const char *path, struct mrp_http_response *resp)
{
    mrp_auto(mrp_http_free) struct mrp_http *http = NULL;
    err = (struct mrp_error){0};
    assert_int_equal(mrp_http_new(&http, NULL, &err), 0);
    mrp_auto(mrp_free_str) char *url = mrp_strf("https://127.0.0.1:%d%s", port, path);
    struct mrp_http_request req = {.url = url, .timeout_ms = LIMIT_MS};
    return mrp_http_do(resp, http, &req, &err);
}

static void certificates(void **state)
{
    (void)state;
    struct mrp_http_response resp = {0};
    assert_int_equal(get("/", &resp), MRP_E_NET);
    assert_non_null(strstr(err.hint, "AWS_CA_BUNDLE"));
    assert_int_equal(resp.tries, 1); /* trying again does not make it better */
    mrp_http_response_done(&resp);
    setenv("AWS_CA_BUNDLE", bundle, 1);
    assert_int_equal(get("/", &resp), 0);
    assert_string_equal(mrp_buf_str(&resp.body), "secure");
    mrp_http_response_done(&resp);
    unsetenv("AWS_CA_BUNDLE");
    setenv("MRPIPE_INSECURE_TLS", "0", 1);
    assert_int_equal(get("/", &resp), MRP_E_NET);
    mrp_http_response_done(&resp);
    setenv("MRPIPE_INSECURE_TLS", "1", 1);
    assert_int_equal(get("/", &resp), 0);
    mrp_http_response_done(&resp);
    unsetenv("MRPIPE_INSECURE_TLS");
}

static void no_way_down(void **state)
{
    (void)state;
    struct mrp_http_response resp = {0};
    setenv("AWS_CA_BUNDLE", bundle, 1);
    assert_int_equal(get("/down", &resp), MRP_E_REMOTE);
    assert_non_null(strstr(err.msg, "https to http"));
    mrp_http_response_done(&resp);
    unsetenv("AWS_CA_BUNDLE");
}

struct catcher {
    struct mrp_http_call *call;
    uint64_t got;
    unsigned pauses;
};

/* Waits before each piece, so that the transfer is resumed with records in its buffer. */
static long
catch_some(void *arg, const struct mrp_http_response *head, const char *data, size_t len)
{
    struct catcher *c = arg;
    (void)head, (void)data;
    if (c->pauses++ % 2 == 0) {
        mrp_http_resume(c->call);
        return MRP_HTTP_PAUSE;
    }
    c->got += len;
    return (long)len;
}

static void many_records(void **state)
{
    (void)state;
    setenv("AWS_CA_BUNDLE", bundle, 1);
    struct mrp_http_response resp = {0};
    assert_int_equal(get("/records", &resp), 0);
    assert_int_equal(resp.body.len, BODY);
    mrp_http_response_done(&resp);

    mrp_auto(mrp_http_free) struct mrp_http *http = NULL;
    assert_int_equal(mrp_http_new(&http, NULL, &err), 0);
    mrp_auto(mrp_free_str) char *url = mrp_strf("https://127.0.0.1:%d/records", port);
    struct catcher c = {0};
    struct mrp_http_sink sink = {.write = catch_some, .arg = &c};
    struct mrp_http_request req = {.url = url, .sink = &sink, .max_body = BODY};
    assert_int_equal(mrp_http_start(&c.call, &resp, http, &req, &err), 0);
    assert_int_equal(mrp_http_wait(c.call, &err), 0);
    mrp_http_call_free(&c.call);
    assert_int_equal(c.got, BODY);
    assert_true(c.pauses > 1);
    mrp_http_response_done(&resp);
    unsetenv("AWS_CA_BUNDLE");
}

static long
hold_first(void *arg, const struct mrp_http_response *head, const char *data, size_t len)
{
    struct catcher *c = arg;
    (void)head, (void)data;
    if (!c->got)
        mrp_http_hold(c->call);
    c->got += len;
    return (long)len;
}

/* All of them are there before the second is read. */
static void splinters(void **state)
{
    (void)state;
    setenv("AWS_CA_BUNDLE", bundle, 1);
    mrp_auto(mrp_http_free) struct mrp_http *http = NULL;
    assert_int_equal(mrp_http_new(&http, NULL, &err), 0);
    mrp_auto(mrp_free_str) char *url = mrp_strf("https://127.0.0.1:%d/splinters", port);
    struct catcher c = {0};
    struct mrp_http_sink sink = {.write = hold_first, .arg = &c};
    struct mrp_http_request req = {.url = url, .sink = &sink, .timeout_ms = LIMIT_MS};
    struct mrp_http_response resp = {0};
    assert_int_equal(mrp_http_start(&c.call, &resp, http, &req, &err), 0);
    while (!c.got || !atomic_load(&splinters_sent))
        assert_int_equal(mrp_http_sleep(http, 1, &err), 0);
    mrp_http_resume(c.call);
    assert_int_equal(mrp_http_wait(c.call, &err), 0);
    assert_int_equal(c.got, SPLINTERS);
    mrp_http_call_free(&c.call);
    mrp_http_response_done(&resp);
    unsetenv("AWS_CA_BUNDLE");
}

static struct mrp_http *shared;

static int get_records(void *arg, struct mrp_error *e)
{
    const char *path = arg;
    mrp_auto(mrp_free_str) char *url = mrp_strf("https://127.0.0.1:%d%s", port, path);
    struct mrp_http_request req = {.url = url, .timeout_ms = LIMIT_MS, .flags = MRP_HTTP_NO_RETRY};
    mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
    return mrp_http_do(&resp, shared, &req, e);
}

/* A limit on speed pauses each time and again: what is run on another one's account is read too. */
static void records_side_by_side(void **state)
{
    (void)state;
    setenv("AWS_CA_BUNDLE", bundle, 1);
    assert_int_equal(mrp_http_new(&shared, NULL, &err), 0);
    mrp_http_limit_bandwidth(shared, 3 << 20);
    struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, shared, 0, &err), 0);
    static char paths[][16] = {"/records", "/splinters"};
    for (size_t i = 0; i < AT_ONCE; i++)
        assert_int_equal(mrp_group_spawn(group, get_records, paths[i % 2], &err), 0);
    if (mrp_group_finish(&group, 0, &err) != 0)
        fail_msg("%s", err.msg);
    mrp_http_free(&shared);
    unsetenv("AWS_CA_BUNDLE");
}

static void through_a_proxy(void **state)
{
    (void)state;
    mrp_auto(mrp_free_str) char *plain = mrp_strf("http://127.0.0.1:%d", port);
    mrp_auto(mrp_free_str) char *sealed = mrp_strf("https://127.0.0.1:%d", port);
    mrp_auto(mrp_free_str) char *url = mrp_strf("registry.test:%d/records", port);
    static const char *const ways[][2] = {{"https_proxy", "https"}, {"http_proxy", "http"}};
    setenv("AWS_CA_BUNDLE", bundle, 1);
    for (size_t i = 0; i < MRP_COUNT(ways); i++) {
        mrp_auto(mrp_http_free) struct mrp_http *http = NULL;
        mrp_auto(mrp_free_str) char *whole = mrp_strf("%s://%s", ways[i][1], url);
        struct mrp_http_request req = {
            .url = whole, .timeout_ms = LIMIT_MS, .flags = MRP_HTTP_NO_RETRY};
        mrp_auto(mrp_http_response_done) struct mrp_http_response resp = {0};
        assert_int_equal(mrp_http_new(&http, NULL, &err), 0);
        setenv(ways[i][0], i ? sealed : plain, 1); /* the second one has a TLS layer itself */
        int rc = mrp_http_do(&resp, http, &req, &err);
        unsetenv(ways[i][0]);
        if (rc)
            fail_msg("%s: %s", ways[i][0], err.msg);
        assert_int_equal(resp.body.len, BODY);
    }
    assert_int_equal(atomic_load(&tunnels), 1);
    unsetenv("AWS_CA_BUNDLE");
}

static long give_little(void *arg, char *buf, size_t len)
{
    unsigned *asked = arg;
    if ((*asked)++ || len < 4)
        return MRP_HTTP_PAUSE; /* and never more */
    memset(buf, 0, 4);
    return 4;
}

static void refused_while_the_source_waits(void **state)
{
    (void)state;
    setenv("AWS_CA_BUNDLE", bundle, 1);
    mrp_auto(mrp_http_free) struct mrp_http *http = NULL;
    assert_int_equal(mrp_http_new(&http, NULL, &err), 0);
    mrp_auto(mrp_free_str) char *url = mrp_strf("https://127.0.0.1:%d/", port);
    unsigned asked = 0;
    struct mrp_http_source source = {.read = give_little, .arg = &asked, .length = 1000};
    struct mrp_http_request req = {.url = url, .method = "PUT", .source = &source};
    struct mrp_http_response resp = {0};
    assert_int_equal(mrp_http_do(&resp, http, &req, &err), 0);
    assert_int_equal(resp.status, 403);
    assert_string_equal(mrp_buf_str(&resp.body), "not yours");
    mrp_http_response_done(&resp);
    unsetenv("AWS_CA_BUNDLE");
}

static int start_all(void **state)
{
    (void)state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = make_certificate(key);
    ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(ctx, x);
    SSL_CTX_use_PrivateKey(ctx, key);
    if (mrp_temp_dir(&folder, "net-tls", &err) != 0)
        return -1;
    bundle = mrp_strf("%s/ca.pem", folder);
    FILE *f = fopen(bundle, "we");
    if (!f || PEM_write_X509(f, x) != 1 || fclose(f) != 0)
        return -1;
    X509_free(x);
    EVP_PKEY_free(key);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, len) != 0 || listen(listener, 16) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0)
        return -1;
    port = ntohs(address.sin_port);
    return pthread_create(&thread, NULL, serve, NULL);
}

static int stop_all(void **state)
{
    (void)state;
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
    SSL_CTX_free(ctx);
    mrp_remove_tree(folder, &err);
    free(folder);
    free(bundle);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates),    cmocka_unit_test(no_way_down),
        cmocka_unit_test(many_records),    cmocka_unit_test(refused_while_the_source_waits),
        cmocka_unit_test(splinters),       cmocka_unit_test(records_side_by_side),
        cmocka_unit_test(through_a_proxy),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
