#!/bin/sh
# The server as curl sees it: statuses, headers, methods, limits. HEARTH_URL and HEARTH_API_KEY as for the other tests.
set -u
url=$HEARTH_URL
key="Authorization: Bearer ${HEARTH_API_KEY:-none}"
json='Content-Type: application/json'
failures=0 checks=0

# expect WHAT WANTED GOT
expect() {
  checks=$((checks + 1))
  if [ "$2" != "$3" ]; then
    echo "FAIL $1: expected $2, got $3" >&2
    failures=$((failures + 1))
  fi
}
status() { curl -s -o /dev/null -w '%{http_code}' --max-time 20 "$@"; }
header() { name=$1; shift; curl -s -D - -o /dev/null --max-time 20 "$@" | tr -d '\r' | sed -n "s/^$name: //Ip"; }

expect health 200 "$(status "$url/health")"
expect ready 200 "$(status "$url/ready")"
expect page 200 "$(status "$url/")"
expect page-head 200 "$(status -I "$url/")"
expect nowhere 404 "$(status -H "$key" "$url/nowhere")"
expect traversal 404 "$(status -H "$key" --path-as-is "$url/../../etc/passwd")"
expect encoded-traversal 404 "$(status -H "$key" --path-as-is "$url/%2e%2e/%2e%2e/etc/passwd")"
expect wrong-method 405 "$(status -H "$key" "$url/v1/chat/completions")"
expect options 204 "$(status -X OPTIONS "$url/v1/models")"
expect foreign-host 403 "$(status -H 'Host: evil.example' "$url/health")"
expect foreign-origin 403 "$(status -H "$key" -H 'Origin: https://evil.example' "$url/v1/models")"
expect form 415 "$(status -H "$key" -d '{}' "$url/v1/chat/completions")"
expect bad-json 400 "$(status -H "$key" -H "$json" -d '{' "$url/v1/chat/completions")"
expect tokenize 200 "$(status -H "$key" -H "$json" -d '{"prompt":"hi"}' "$url/tokenize")"
expect chunked-body 200 "$(status -H "$key" -H "$json" -H 'Transfer-Encoding: chunked' -d '{"prompt":"hi"}' "$url/tokenize")"
expect http-1.0 200 "$(status --http1.0 "$url/health")"
expect nosniff nosniff "$(header X-Content-Type-Options "$url/")"
expect referrer no-referrer "$(header Referrer-Policy "$url/")"
expect policy yes "$(header Content-Security-Policy "$url/" | grep -q "frame-ancestors 'none'" && echo yes)"
etag=$(header ETag "$url/")
expect not-modified 304 "$(status -H "If-None-Match: $etag" "$url/")"
expect metrics yes "$(curl -s -H "$key" "$url/metrics" | grep -q '^vllm:num_requests_running' && echo yes)"

large=$(mktemp)
trap 'rm -f "$large"' EXIT
head -c 9000000 /dev/zero | tr '\0' 'x' >"$large"
expect large-body 413 "$(status -H "$key" -H "$json" --data-binary "@$large" "$url/v1/completions")"
head -c 40000 "$large" >"$large.header"
expect large-header 431 "$(status -H "X-Large: $(cat "$large.header")" "$url/health")"
rm -f "$large.header"

stream=$(curl -sN -H "$key" -H "$json" -d '{"stream":true,"max_tokens":5,"messages":[{"role":"user","content":"hi"}]}' "$url/v1/chat/completions")
expect stream-done 'data: [DONE]' "$(printf '%s\n' "$stream" | grep '^data' | tail -1)"
expect stream-type text/event-stream "$(header Content-Type -N -H "$key" -H "$json" -d '{"stream":true,"max_tokens":2,"messages":[{"role":"user","content":"hi"}]}' "$url/v1/chat/completions")"
if [ -n "${HEARTH_API_KEY:-}" ]; then
  expect no-key 401 "$(status "$url/v1/models")"
  expect wrong-key 401 "$(status -H 'Authorization: Bearer wrong' "$url/v1/models")"
  expect x-api-key 200 "$(status -H "X-Api-Key: $HEARTH_API_KEY" "$url/v1/models")"
fi

echo "curl: $((checks - failures)) passed, $failures failed"
[ "$failures" = 0 ]
