/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http/field_ids.h - the field names that the proxy knows by number.
 *
 * One line per name, the canonical spelling as RFC 9110 and the IANA registry give it.  The hop
 * flag marks what belongs to one connection only (RFC 9110 7.6.1) and is never forwarded.
 */
#ifndef HTTP_FIELD_IDS_H
#define HTTP_FIELD_IDS_H

#define FIELD_TABLE(X)                                                                            \
    X(FIELD_ACCEPT, "Accept", 0)                                                                  \
    X(FIELD_ACCEPT_ENCODING, "Accept-Encoding", 0)                                                \
    X(FIELD_ACCEPT_LANGUAGE, "Accept-Language", 0)                                                \
    X(FIELD_ACCEPT_RANGES, "Accept-Ranges", 0)                                                    \
    X(FIELD_AGE, "Age", 0)                                                                        \
    X(FIELD_ALLOW, "Allow", 0)                                                                    \
    X(FIELD_ALT_SVC, "Alt-Svc", 0)                                                                \
    X(FIELD_AUTHORIZATION, "Authorization", 0)                                                    \
    X(FIELD_CACHE_CONTROL, "Cache-Control", 0)                                                    \
    X(FIELD_CACHE_STATUS, "Cache-Status", 0)                                                      \
    X(FIELD_CONNECTION, "Connection", 1)                                                          \
    X(FIELD_CONTENT_DISPOSITION, "Content-Disposition", 0)                                        \
    X(FIELD_CONTENT_ENCODING, "Content-Encoding", 0)                                              \
    X(FIELD_CONTENT_LANGUAGE, "Content-Language", 0)                                              \
    X(FIELD_CONTENT_LENGTH, "Content-Length", 0)                                                  \
    X(FIELD_CONTENT_LOCATION, "Content-Location", 0)                                              \
    X(FIELD_CONTENT_RANGE, "Content-Range", 0)                                                    \
    X(FIELD_CONTENT_SECURITY_POLICY, "Content-Security-Policy", 0)                                \
    X(FIELD_CONTENT_TYPE, "Content-Type", 0)                                                      \
    X(FIELD_COOKIE, "Cookie", 0)                                                                  \
    X(FIELD_DATE, "Date", 0)                                                                      \
    X(FIELD_ETAG, "ETag", 0)                                                                      \
    X(FIELD_EXPECT, "Expect", 0)                                                                  \
    X(FIELD_EXPIRES, "Expires", 0)                                                                \
    X(FIELD_FORWARDED, "Forwarded", 0)                                                            \
    X(FIELD_HOST, "Host", 0)                                                                      \
    X(FIELD_IF_MATCH, "If-Match", 0)                                                              \
    X(FIELD_IF_MODIFIED_SINCE, "If-Modified-Since", 0)                                            \
    X(FIELD_IF_NONE_MATCH, "If-None-Match", 0)                                                    \
    X(FIELD_IF_RANGE, "If-Range", 0)                                                              \
    X(FIELD_IF_UNMODIFIED_SINCE, "If-Unmodified-Since", 0)                                        \
    X(FIELD_KEEP_ALIVE, "Keep-Alive", 1)                                                          \
    X(FIELD_LAST_MODIFIED, "Last-Modified", 0)                                                    \
    X(FIELD_LINK, "Link", 0)                                                                      \
    X(FIELD_LOCATION, "Location", 0)                                                              \
    X(FIELD_MAX_FORWARDS, "Max-Forwards", 0)                                                      \
    X(FIELD_ORIGIN, "Origin", 0)                                                                  \
    X(FIELD_PRAGMA, "Pragma", 0)                                                                  \
    X(FIELD_PROXY_AUTHENTICATE, "Proxy-Authenticate", 1)                                          \
    X(FIELD_PROXY_AUTHORIZATION, "Proxy-Authorization", 1)                                        \
    X(FIELD_PROXY_CONNECTION, "Proxy-Connection", 1)                                              \
    X(FIELD_PROXY_STATUS, "Proxy-Status", 0)                                                      \
    X(FIELD_RANGE, "Range", 0)                                                                    \
    X(FIELD_REFERER, "Referer", 0)                                                                \
    X(FIELD_RETRY_AFTER, "Retry-After", 0)                                                        \
    X(FIELD_SERVER, "Server", 0)                                                                  \
    X(FIELD_SET_COOKIE, "Set-Cookie", 0)                                                          \
    X(FIELD_STRICT_TRANSPORT_SECURITY, "Strict-Transport-Security", 0)                            \
    X(FIELD_TE, "TE", 1)                                                                          \
    X(FIELD_TRAILER, "Trailer", 0)                                                                \
    X(FIELD_TRANSFER_ENCODING, "Transfer-Encoding", 1)                                            \
    X(FIELD_UPGRADE, "Upgrade", 1)                                                                \
    X(FIELD_USER_AGENT, "User-Agent", 0)                                                          \
    X(FIELD_VARY, "Vary", 0)                                                                      \
    X(FIELD_VIA, "Via", 0)                                                                        \
    X(FIELD_WWW_AUTHENTICATE, "WWW-Authenticate", 0)                                              \
    X(FIELD_X_FORWARDED_FOR, "X-Forwarded-For", 0)                                                \
    X(FIELD_X_FORWARDED_HOST, "X-Forwarded-Host", 0)                                              \
    X(FIELD_X_FORWARDED_PORT, "X-Forwarded-Port", 0)                                              \
    X(FIELD_X_FORWARDED_PROTO, "X-Forwarded-Proto", 0)                                            \
    X(FIELD_X_POWERED_BY, "X-Powered-By", 0)                                                      \
    X(FIELD_X_REAL_IP, "X-Real-IP", 0)                                                            \
    X(FIELD_X_REQUEST_ID, "X-Request-ID", 0)

enum field_id {
    FIELD_OTHER, /* a name that is not in the table */
#define FIELD_ENUM(id, name, hop) id,
    FIELD_TABLE(FIELD_ENUM)
#undef FIELD_ENUM
    FIELD_COUNT
};

_Static_assert(FIELD_COUNT <= 64, "struct fields keeps one bit for each known name");

#endif
