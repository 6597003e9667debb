#!/usr/bin/env bash
# From nothing to a running container and back, with curl: a tenant, a member, a guest, and the walls around them.
#
#   POOLHOUSE_URL               where Poolhouse answers (http://127.0.0.1:5000)
#   POOLHOUSE_ADMIN_PASSWORD    the administrator's password
#
# Needs bash, curl and python3 (only to read JSON). Leaves nothing behind. Exits with 1, and the answer, when an answer
# is not the expected one.
set -euo pipefail

url=${POOLHOUSE_URL:-http://127.0.0.1:5000}
: "${POOLHOUSE_ADMIN_PASSWORD:?Set POOLHOUSE_ADMIN_PASSWORD to the password that the first start has shown}"

run_id=$(date +%s)-$$
work=$(mktemp -d)
answer=$work/answer.json
token=
admin_token=
tenants=()
users=()

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# json 'PATH.TO.FIELD' < document: the field, or nothing; numbers index lists.
json() {
    python3 -c '
import json, sys
value = json.load(sys.stdin)
for key in filter(None, sys.argv[1].split(".")):
    value = value[int(key)] if isinstance(value, list) else value.get(key)
    if value is None:
        break
print("" if value is None else value if isinstance(value, (str, int, float)) else json.dumps(value))
' "$1"
}

field() { json "$1" <"$answer"; }

# object name value name value ...: a JSON object; a value that is JSON stays what it is.
object() {
    python3 -c '
import json, sys
def value(text):
    try:
        return json.loads(text)
    except ValueError:
        return text
words = sys.argv[1:]
print(json.dumps(dict(zip(words[::2], map(value, words[1::2])))))
' "$@"
}

# as JSON strings, whatever stands in them
string() { python3 -c 'import json, sys; print(json.dumps(sys.argv[1]))' "$1"; }

# call 'EXPECTED STATUS ...' METHOD PATH [curl arguments ...]: the answer is in $answer then, its status in $status.
call() {
    local expected=$1 method=$2 path=$3
    shift 3
    # The token goes through a file descriptor, so that no process list shows it.
    status=$(curl --silent --show-error --max-time 130 --output "$answer" --write-out '%{http_code}' \
        --request "$method" --header @<([ -z "$token" ] || echo "Authorization: Bearer $token") \
        --header 'Accept: application/json' "$@" "$url/api$path") || { echo "$url does not answer." >&2; exit 1; }
    printf '  %-6s %-48s %s\n' "$method" "$path" "$status"
    case " $expected " in
    *" $status "*) ;;
    *)
        echo "Expected $expected, got $status:" >&2
        python3 -m json.tool "$answer" >&2 2>/dev/null || cat "$answer" >&2
        exit 1
        ;;
    esac
}

# send: as call, with a JSON body, which goes through standard input.
send() {
    local expected=$1 method=$2 path=$3 body=$4
    shift 4
    call "$expected" "$method" "$path" --header 'Content-Type: application/json' --data-binary @- "$@" <<<"$body"
}

log_in() {
    token=
    send 200 POST /auth/login "{\"username\": $(string "$1"), \"password\": $(string "$2")}"
    token=$(field access_token)
}

clean_up() {
    local code=$?
    trap - EXIT
    if [ -n "$admin_token" ] && [ $((${#tenants[@]} + ${#users[@]})) -gt 0 ]; then
        token=$admin_token
        say "Cleaning up"
        for tenant in "${tenants[@]}"; do
            (call '200 202' DELETE "/tenants/$tenant?cascade=true" --header 'Prefer: wait=60') || code=1
        done
        for user in "${users[@]}"; do
            (call '200 204' DELETE "/users/$user") || code=1
        done
    fi
    rm -rf "$work"
    exit "$code"
}
trap clean_up EXIT

make_tenant() {
    send '200 201' POST /tenants "$(object name "$1" quota '{"guests": 2, "cores": 2, "memory": 1024, "disk_gb": 8}')" \
        --header 'Prefer: wait=60'
    tenant_id=$(field result.tenant.id)
    tenants+=("$tenant_id")
}

make_member() {
    user_password=$(python3 -c 'import secrets; print(secrets.token_urlsafe(16))')
    send 201 POST /users "{\"username\": $(string "$1"), \"password\": $(string "$user_password"), \"role\": \"user\"}"
    users+=("$(field id)")
    send 201 POST "/tenants/$2/members" "$(object username "$1" role operator)"
}

say "Log in as the administrator"
log_in admin "$POOLHOUSE_ADMIN_PASSWORD"
admin_token=$token

say "Make a tenant with a quota of two guests, 2 cores, 1024 MiB and 8 GiB, and a member"
make_tenant "first-$run_id"
mine=$tenant_id
make_member "kim-$run_id" "$mine"
password=$user_password

say "Log in as the member and look at the catalog"
log_in "kim-$run_id" "$password"
call 200 GET /templates
echo "  to be had: $(python3 -c '
import json, sys
print(", ".join(row["name"] for row in json.load(open(sys.argv[1]))["data"]))' "$answer")"

say "Create a container; the answer is held until it is there"
body=$(object name "web-$$" template debian-12 memory 512 cores 1 disk_gb 4)
send '200 201' POST /proxmox/cts "$body" --header 'Prefer: wait=60' --header "Idempotency-Key: first-guest-$run_id"
guest=$(field result.guest.id)
echo "  container $(field result.guest.vmid) in pool $(field result.guest.poolid): $guest"

say "The same request with the same Idempotency-Key makes no second one"
send '200 201' POST /proxmox/cts "$body" --header 'Prefer: wait=60' --header "Idempotency-Key: first-guest-$run_id"
[ "$(field result.guest.id)" = "$guest" ] || { echo "It made another one: $(field result.guest.id)" >&2; exit 1; }

say "List, start, stop"
call 200 GET /proxmox/cts
[ "$(field count)" = 1 ] || { echo "Expected one guest, got $(field count)." >&2; exit 1; }
call 200 POST "/proxmox/cts/$guest/start" --header 'Prefer: wait=60'
call 200 GET "/proxmox/cts/$guest/status"
call 200 GET "/proxmox/cts/$guest"
echo "  state: $(field state)"
call 200 POST "/proxmox/cts/$guest/stop" --header 'Prefer: wait=60'
call 200 GET "/proxmox/cts/$guest"
echo "  state: $(field state)"

say "More than the quota is refused, with the figures"
send 403 POST /proxmox/cts "$(object name "huge-$$" template debian-12 memory 4096 disk_gb 4)"
echo "  $(field code): $(field dimension) limit $(field limit), used $(field used), requested $(field requested)"
[ "$(field code)" = quota.exceeded ] || exit 1

say "Another tenant's guest is not there"
token=$admin_token
make_tenant "other-$run_id"
send '200 201' POST /proxmox/cts \
    "$(object name "theirs-$$" template debian-12 memory 256 disk_gb 2 tenant "$tenant_id")" --header 'Prefer: wait=60'
theirs=$(field result.guest.id)
log_in "kim-$run_id" "$password"
call 404 GET "/proxmox/cts/$theirs"
call 404 DELETE "/proxmox/cts/$theirs"

say "Delete the container; the quota is free again"
call 200 DELETE "/proxmox/cts/$guest?purge=true" --header 'Prefer: wait=60'
call 200 GET "/tenants/$mine/usage"
echo "  allocated: $(field allocated)"

say "Everything went as it should."
