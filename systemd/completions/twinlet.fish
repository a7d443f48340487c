# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_twinlet_global_optspecs
    string join \n h/help V/version
end

function __fish_twinlet_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_twinlet_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_twinlet_using_subcommand
    set -l cmd (__fish_twinlet_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c twinlet -n "__fish_twinlet_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_needs_command" -s V -l version -d 'Print version'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "run" -d 'Run the agent'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "check" -d 'Say whether this node\'s settings will work'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "status" -d 'Show the node on one page, and what does not run'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "functions" -d 'List the functions, their phases and their counts'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "why" -d 'Say in words why a function runs, or why it does not'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "logs" -d 'Show the last lines of the log, and follow it'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "metrics" -d 'Print the metrics, as Prometheus reads them'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "deploy" -d 'Put a component on this device, and see it run'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "delete" -d 'Take away a function that was put on this device by hand'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "invoke" -d 'Call a function by its name'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "new" -d 'Make a project for a function of your own'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "inspect" -d 'Say what the agent would make of a component'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "twin" -d 'Read, change and watch a node\'s twin'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "keygen" -d 'Make a key to sign functions with'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "sign" -d 'Sign functions, so that devices that require it take them'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "config" -d 'Show the settings'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "api-key" -d 'Make an API key, and its entry for the file of keys'
complete -c twinlet -n "__fish_twinlet_needs_command" -f -a "version" -d 'Say which build this is'
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l config -d 'TOML file to read settings from' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l node-id -d 'Name of this node in its MQTT topics; without one, a UUID made once and kept in CACHE_DIR' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l pop-id -d 'Point of presence that the node belongs to; part of every heartbeat' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l cp-url -d 'Control plane; the base of relative artifact URLs' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l cache-dir -d 'Where artifacts and the node\'s state are kept; put it on a disk that survives a restart' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l local-socket -d 'Unix socket for the command line and curl, mode 0600; without one, twinlet.sock in CACHE_DIR' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l heartbeat-interval-secs -d 'Seconds between two heartbeats' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l outbox-bytes -d 'Bytes of telemetry kept on the disk for a broker that is away, 128 more for each message; past it the oldest go' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l shutdown-timeout-secs -d 'Seconds that running requests get to finish after SIGTERM; keep it 6 below TimeoutStopSec' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l log-level -d 'Most verbose level that is logged: off, error, warn, info, debug or trace' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l mqtt-broker -d 'Broker: mqtt://[user:password@]host[:1883], or mqtts://…[:8883] for TLS' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l mqtt-ca-file -d 'PEM file of the authorities to trust instead of the system\'s; only with mqtts://' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l mqtt-cert-file -d 'PEM file of this node\'s certificate; only with mqtts://, and with MQTT_KEY_FILE' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l mqtt-key-file -d 'PEM file of that certificate\'s private key' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l mqtt-username -d 'User name for the broker' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l mqtt-password -d 'Password for the broker; a flag shows in the process list: prefer file or environment' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l mqtt-keep-alive-secs -d 'Seconds between two pings to the broker' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l mqtt-max-message-bytes -d 'Bytes of the largest message that is read; a larger one is counted and dropped' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l listen-addr -d 'Address to serve functions on; :: serves IPv6 as well' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l listen-port -d 'Port to serve functions on; 0 takes any free port' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l http-queue -d 'Requests that may wait for a worker; one more gets 503 with Retry-After' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l http-max-connections -d 'Open connections at one time' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l http-max-connections-per-peer -d 'Open connections of one address at one time' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l http-max-head-bytes -d 'Bytes of request line and headers' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l http-head-timeout-secs -d 'Seconds in which request line and headers must have arrived' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l http-max-body-bytes -d 'Bytes of a request body; a larger one gets 413' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l http-body-timeout-secs -d 'Seconds in which a request body must have arrived' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l http-idle-timeout-secs -d 'Seconds that a connection is kept open without a request' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l http-tls-cert-file -d 'PEM file of the certificates to serve HTTPS with, this node\'s first; without one, plain HTTP' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l http-tls-key-file -d 'PEM file of the first certificate\'s private key' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l api-keys-file -d 'TOML file of who may do what at LISTEN_PORT; without one, routes are open there and the API is not' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l api-max-body-bytes -d 'Bytes of a request body of the management API; a larger one gets 413' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l wasm-roots -d 'Directories, separated by `:`, that POST /wasm may read components from; without any, it reads none' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l cache-size-gb -d 'GB (2^30 bytes) of artifacts kept on disk; decimals are accepted, such as 0.5' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l min-free-mb -d 'MB (2^20 bytes) that artifacts leave free on the disk for all else; no download or compilation goes below' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l artifact-max-bytes -d 'Bytes of the largest artifact that is fetched' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l artifact-ca-file -d 'PEM file of the authorities to trust for https://, in downloads and functions\' requests, not the system\'s' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l fetch-connect-timeout-secs -d 'Seconds to reach an artifact server: name look-up, TCP and TLS together' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l fetch-stall-timeout-secs -d 'Seconds that a download may stand still before it is tried again' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l fetch-min-rate-bytes -d 'Bytes a second that a download must bring over FETCH_MIN_RATE_SECS, or it is tried again; 0 for any' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l fetch-min-rate-secs -d 'Seconds over which that is looked at' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l minio-endpoint -d 'Object store for s3:// artifact URLs' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l minio-access-key -d 'Access key of the object store' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l minio-secret-key -d 'Secret key of the object store; a flag shows in the process list: prefer file or environment' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l minio-region -d 'Region of the object store, which its signatures name' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l oci-registry -d 'Registry of oci:// artifact URLs, host or host:port, that gets the user and password below; no other does' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l oci-username -d 'User name for OCI_REGISTRY' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l oci-password -d 'Password for OCI_REGISTRY; a flag shows in the process list: prefer file or environment' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l oci-plain-http -d 'Registries, host or host:port, separated by `,`, that are spoken to without TLS, as those on this device are' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l trusted-keys-file -d 'File of the public keys, a line each, that may sign the hub\'s functions; see `twinlet keygen`' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l require-signatures -d 'Whether every function of the hub\'s must be signed by a key in TRUSTED_KEYS_FILE: true or false' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l min-hot-instances -d 'Instances of a function kept ready, where its desired state does not say' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l max-hot-instances -d 'Instances of a function at one time, where its desired state does not say' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l idle-timeout-secs -d 'Seconds until an idle instance above the minimum is dropped, where the desired state does not say' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l max-workers -d 'Threads that run functions; as many as there are cores run, the others wait in host calls' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l max-memory-pages -d 'Pages of 64 KiB; the most memory that one function may ask for' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l compile-timeout-secs -d 'Seconds of processor time that compiling one artifact may take' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -l compile-memory-mb -d 'MB (2^20 bytes) of address space that compiling one artifact may take, at most half of the memory there is' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l config -d 'TOML file to read settings from' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l node-id -d 'Name of this node in its MQTT topics; without one, a UUID made once and kept in CACHE_DIR' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l pop-id -d 'Point of presence that the node belongs to; part of every heartbeat' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l cp-url -d 'Control plane; the base of relative artifact URLs' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l cache-dir -d 'Where artifacts and the node\'s state are kept; put it on a disk that survives a restart' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l local-socket -d 'Unix socket for the command line and curl, mode 0600; without one, twinlet.sock in CACHE_DIR' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l heartbeat-interval-secs -d 'Seconds between two heartbeats' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l outbox-bytes -d 'Bytes of telemetry kept on the disk for a broker that is away, 128 more for each message; past it the oldest go' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l shutdown-timeout-secs -d 'Seconds that running requests get to finish after SIGTERM; keep it 6 below TimeoutStopSec' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l log-level -d 'Most verbose level that is logged: off, error, warn, info, debug or trace' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l mqtt-broker -d 'Broker: mqtt://[user:password@]host[:1883], or mqtts://…[:8883] for TLS' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l mqtt-ca-file -d 'PEM file of the authorities to trust instead of the system\'s; only with mqtts://' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l mqtt-cert-file -d 'PEM file of this node\'s certificate; only with mqtts://, and with MQTT_KEY_FILE' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l mqtt-key-file -d 'PEM file of that certificate\'s private key' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l mqtt-username -d 'User name for the broker' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l mqtt-password -d 'Password for the broker; a flag shows in the process list: prefer file or environment' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l mqtt-keep-alive-secs -d 'Seconds between two pings to the broker' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l mqtt-max-message-bytes -d 'Bytes of the largest message that is read; a larger one is counted and dropped' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l listen-addr -d 'Address to serve functions on; :: serves IPv6 as well' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l listen-port -d 'Port to serve functions on; 0 takes any free port' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l http-queue -d 'Requests that may wait for a worker; one more gets 503 with Retry-After' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l http-max-connections -d 'Open connections at one time' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l http-max-connections-per-peer -d 'Open connections of one address at one time' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l http-max-head-bytes -d 'Bytes of request line and headers' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l http-head-timeout-secs -d 'Seconds in which request line and headers must have arrived' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l http-max-body-bytes -d 'Bytes of a request body; a larger one gets 413' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l http-body-timeout-secs -d 'Seconds in which a request body must have arrived' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l http-idle-timeout-secs -d 'Seconds that a connection is kept open without a request' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l http-tls-cert-file -d 'PEM file of the certificates to serve HTTPS with, this node\'s first; without one, plain HTTP' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l http-tls-key-file -d 'PEM file of the first certificate\'s private key' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l api-keys-file -d 'TOML file of who may do what at LISTEN_PORT; without one, routes are open there and the API is not' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l api-max-body-bytes -d 'Bytes of a request body of the management API; a larger one gets 413' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l wasm-roots -d 'Directories, separated by `:`, that POST /wasm may read components from; without any, it reads none' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l cache-size-gb -d 'GB (2^30 bytes) of artifacts kept on disk; decimals are accepted, such as 0.5' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l min-free-mb -d 'MB (2^20 bytes) that artifacts leave free on the disk for all else; no download or compilation goes below' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l artifact-max-bytes -d 'Bytes of the largest artifact that is fetched' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l artifact-ca-file -d 'PEM file of the authorities to trust for https://, in downloads and functions\' requests, not the system\'s' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l fetch-connect-timeout-secs -d 'Seconds to reach an artifact server: name look-up, TCP and TLS together' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l fetch-stall-timeout-secs -d 'Seconds that a download may stand still before it is tried again' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l fetch-min-rate-bytes -d 'Bytes a second that a download must bring over FETCH_MIN_RATE_SECS, or it is tried again; 0 for any' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l fetch-min-rate-secs -d 'Seconds over which that is looked at' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l minio-endpoint -d 'Object store for s3:// artifact URLs' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l minio-access-key -d 'Access key of the object store' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l minio-secret-key -d 'Secret key of the object store; a flag shows in the process list: prefer file or environment' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l minio-region -d 'Region of the object store, which its signatures name' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l oci-registry -d 'Registry of oci:// artifact URLs, host or host:port, that gets the user and password below; no other does' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l oci-username -d 'User name for OCI_REGISTRY' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l oci-password -d 'Password for OCI_REGISTRY; a flag shows in the process list: prefer file or environment' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l oci-plain-http -d 'Registries, host or host:port, separated by `,`, that are spoken to without TLS, as those on this device are' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l trusted-keys-file -d 'File of the public keys, a line each, that may sign the hub\'s functions; see `twinlet keygen`' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l require-signatures -d 'Whether every function of the hub\'s must be signed by a key in TRUSTED_KEYS_FILE: true or false' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l min-hot-instances -d 'Instances of a function kept ready, where its desired state does not say' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l max-hot-instances -d 'Instances of a function at one time, where its desired state does not say' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l idle-timeout-secs -d 'Seconds until an idle instance above the minimum is dropped, where the desired state does not say' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l max-workers -d 'Threads that run functions; as many as there are cores run, the others wait in host calls' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l max-memory-pages -d 'Pages of 64 KiB; the most memory that one function may ask for' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l compile-timeout-secs -d 'Seconds of processor time that compiling one artifact may take' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l compile-memory-mb -d 'MB (2^20 bytes) of address space that compiling one artifact may take, at most half of the memory there is' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l no-network -d 'Leave out what needs the network: the broker'
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -l json -d 'Print JSON, for scripts'
complete -c twinlet -n "__fish_twinlet_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_using_subcommand status" -l socket -d 'The agent\'s local socket' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand status" -l config -d 'The agent\'s TOML file, which says where the socket is' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand status" -l json -d 'Print JSON, for scripts'
complete -c twinlet -n "__fish_twinlet_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_using_subcommand functions" -l socket -d 'The agent\'s local socket' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand functions" -l config -d 'The agent\'s TOML file, which says where the socket is' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand functions" -l json -d 'Print JSON, for scripts'
complete -c twinlet -n "__fish_twinlet_using_subcommand functions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_using_subcommand why" -l socket -d 'The agent\'s local socket' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand why" -l config -d 'The agent\'s TOML file, which says where the socket is' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand why" -l json -d 'Print JSON, for scripts'
complete -c twinlet -n "__fish_twinlet_using_subcommand why" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_using_subcommand logs" -l socket -d 'The agent\'s local socket' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand logs" -l config -d 'The agent\'s TOML file, which says where the socket is' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand logs" -s n -l lines -d 'How many of the last lines' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand logs" -l level -d 'Only lines as grave as this, or graver' -r -f -a "error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c twinlet -n "__fish_twinlet_using_subcommand logs" -s f -l follow -d 'Go on with the lines that follow, until Ctrl-C or the agent ends'
complete -c twinlet -n "__fish_twinlet_using_subcommand logs" -l json -d 'Print JSON, for scripts'
complete -c twinlet -n "__fish_twinlet_using_subcommand logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_using_subcommand metrics" -l socket -d 'The agent\'s local socket' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand metrics" -l config -d 'The agent\'s TOML file, which says where the socket is' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand metrics" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_using_subcommand deploy" -l socket -d 'The agent\'s local socket' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand deploy" -l name -d 'The function\'s id; else the file\'s name without its ending' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand deploy" -l route -d 'Requests to this path, such as /x or \'/x/*\', go to it; may be repeated' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand deploy" -l method -d 'Only requests of this method; may be repeated' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand deploy" -l config -d 'What it is told of its settings: an object, or @FILE' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand deploy" -l entrypoint -d 'Which of its exports is meant, where it has several' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand deploy" -l memory-pages -d 'The most memory of an instance, in pages of 64 KiB' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand deploy" -l max-execution-ms -d 'The most time of a call, in milliseconds' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand deploy" -l http -d 'It may send requests to such URLs; may be repeated' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand deploy" -l header -d 'It sees this header of requests: authorization, cookie or x-api-key; may be repeated' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand deploy" -l telemetry -d 'It may send telemetry'
complete -c twinlet -n "__fish_twinlet_using_subcommand deploy" -l watch -d 'Deploy again whenever the file changes, until Ctrl-C'
complete -c twinlet -n "__fish_twinlet_using_subcommand deploy" -l json -d 'Print JSON, for scripts'
complete -c twinlet -n "__fish_twinlet_using_subcommand deploy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_using_subcommand delete" -l socket -d 'The agent\'s local socket' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand delete" -l config -d 'The agent\'s TOML file, which says where the socket is' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand delete" -l json -d 'Print JSON, for scripts'
complete -c twinlet -n "__fish_twinlet_using_subcommand delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_using_subcommand invoke" -l socket -d 'The agent\'s local socket' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand invoke" -l config -d 'The agent\'s TOML file, which says where the socket is' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand invoke" -s d -l data -d 'The parameters, an object: JSON, @FILE, or - for standard input' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand invoke" -l deadline -d 'Give up after so many seconds, the wait for a free instance included' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand invoke" -l async -d 'Do not wait: print the id under which the result can be had'
complete -c twinlet -n "__fish_twinlet_using_subcommand invoke" -l wait -d 'With --async: ask for the result until it is there'
complete -c twinlet -n "__fish_twinlet_using_subcommand invoke" -l output -d 'Show what the function prints as well, on standard error'
complete -c twinlet -n "__fish_twinlet_using_subcommand invoke" -l json -d 'Print JSON, for scripts'
complete -c twinlet -n "__fish_twinlet_using_subcommand invoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_using_subcommand new" -l dir -d 'Where to make it, a directory that is not there yet; NAME by default' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand new" -s h -l help -d 'Print help'
complete -c twinlet -n "__fish_twinlet_using_subcommand inspect" -l config -d 'The agent\'s TOML file, for its limits' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand inspect" -l json -d 'Print JSON, for scripts'
complete -c twinlet -n "__fish_twinlet_using_subcommand inspect" -s h -l help -d 'Print help'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and not __fish_seen_subcommand_from get set patch watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and not __fish_seen_subcommand_from get set patch watch" -f -a "get" -d 'Print the desired and the reported state that the broker keeps, as JSON'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and not __fish_seen_subcommand_from get set patch watch" -f -a "set" -d 'Publish a whole desired state'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and not __fish_seen_subcommand_from get set patch watch" -f -a "patch" -d 'Change a part of the desired state'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and not __fish_seen_subcommand_from get set patch watch" -f -a "watch" -d 'Print what a node says, as it comes, until Ctrl-C'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from get" -l broker -d 'mqtt://[user@]host[:1883], or mqtts://…[:8883] for TLS' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from get" -l node -d 'The node\'s name' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from get" -l ca-file -d 'PEM file of the authorities to trust instead of the system\'s' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from get" -l cert-file -d 'PEM file of this client\'s certificate' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from get" -l key-file -d 'PEM file of that certificate\'s private key' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from get" -l username -d 'User name for the broker' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from get" -l password -d 'Password for the broker; better as MQTT_PASSWORD' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from get" -l desired -d 'Print the desired state alone'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from get" -l reported -d 'Print the reported state alone'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from set" -l broker -d 'mqtt://[user@]host[:1883], or mqtts://…[:8883] for TLS' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from set" -l node -d 'The node\'s name' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from set" -l ca-file -d 'PEM file of the authorities to trust instead of the system\'s' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from set" -l cert-file -d 'PEM file of this client\'s certificate' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from set" -l key-file -d 'PEM file of that certificate\'s private key' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from set" -l username -d 'User name for the broker' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from set" -l password -d 'Password for the broker; better as MQTT_PASSWORD' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from set" -l wait -d 'How long to wait for what the node says to it; 0 for not at all' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from set" -l force -d 'Send it even where it is not valid here; the node has limits of its own'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from set" -l dry-run -d 'Ask only what would happen: downloads, disk, memory, refused imports, new permissions'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from set" -l json -d 'Print JSON, for scripts'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from patch" -l broker -d 'mqtt://[user@]host[:1883], or mqtts://…[:8883] for TLS' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from patch" -l node -d 'The node\'s name' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from patch" -l ca-file -d 'PEM file of the authorities to trust instead of the system\'s' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from patch" -l cert-file -d 'PEM file of this client\'s certificate' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from patch" -l key-file -d 'PEM file of that certificate\'s private key' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from patch" -l username -d 'User name for the broker' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from patch" -l password -d 'Password for the broker; better as MQTT_PASSWORD' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from patch" -l wait -d 'How long to wait for what the node says to it; 0 for not at all' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from patch" -l force -d 'Send it even where it is not valid here; the node has limits of its own'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from patch" -l dry-run -d 'Ask only what would happen: downloads, disk, memory, refused imports, new permissions'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from patch" -l json -d 'Print JSON, for scripts'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from patch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from watch" -l broker -d 'mqtt://[user@]host[:1883], or mqtts://…[:8883] for TLS' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from watch" -l node -d 'The node\'s name' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from watch" -l ca-file -d 'PEM file of the authorities to trust instead of the system\'s' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from watch" -l cert-file -d 'PEM file of this client\'s certificate' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from watch" -l key-file -d 'PEM file of that certificate\'s private key' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from watch" -l username -d 'User name for the broker' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from watch" -l password -d 'Password for the broker; better as MQTT_PASSWORD' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from watch" -l json -d 'Print one JSON object per line'
complete -c twinlet -n "__fish_twinlet_using_subcommand twin; and __fish_seen_subcommand_from watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_using_subcommand keygen" -l out -d 'File of the private key, PEM, mode 0600; one that is there is never replaced' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand keygen" -l json -d 'Print JSON, for scripts'
complete -c twinlet -n "__fish_twinlet_using_subcommand keygen" -s h -l help -d 'Print help'
complete -c twinlet -n "__fish_twinlet_using_subcommand sign" -l key -d 'The private key, as `twinlet keygen` makes it' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand sign" -l document -d 'Sign every function of this JSON document; - is standard input' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand sign" -l function -d 'The function\'s id' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand sign" -l version -d 'The function\'s version, as the document will have it' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand sign" -l json -d 'Print JSON, for scripts'
complete -c twinlet -n "__fish_twinlet_using_subcommand sign" -s h -l help -d 'Print help'
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and not __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and not __fish_seen_subcommand_from show" -f -a "show" -d 'Show every setting, its value, and where it comes from'
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l config -d 'TOML file to read settings from' -r -F
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l node-id -d 'Name of this node in its MQTT topics; without one, a UUID made once and kept in CACHE_DIR' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l pop-id -d 'Point of presence that the node belongs to; part of every heartbeat' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l cp-url -d 'Control plane; the base of relative artifact URLs' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l cache-dir -d 'Where artifacts and the node\'s state are kept; put it on a disk that survives a restart' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l local-socket -d 'Unix socket for the command line and curl, mode 0600; without one, twinlet.sock in CACHE_DIR' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l heartbeat-interval-secs -d 'Seconds between two heartbeats' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l outbox-bytes -d 'Bytes of telemetry kept on the disk for a broker that is away, 128 more for each message; past it the oldest go' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l shutdown-timeout-secs -d 'Seconds that running requests get to finish after SIGTERM; keep it 6 below TimeoutStopSec' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l log-level -d 'Most verbose level that is logged: off, error, warn, info, debug or trace' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l mqtt-broker -d 'Broker: mqtt://[user:password@]host[:1883], or mqtts://…[:8883] for TLS' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l mqtt-ca-file -d 'PEM file of the authorities to trust instead of the system\'s; only with mqtts://' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l mqtt-cert-file -d 'PEM file of this node\'s certificate; only with mqtts://, and with MQTT_KEY_FILE' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l mqtt-key-file -d 'PEM file of that certificate\'s private key' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l mqtt-username -d 'User name for the broker' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l mqtt-password -d 'Password for the broker; a flag shows in the process list: prefer file or environment' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l mqtt-keep-alive-secs -d 'Seconds between two pings to the broker' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l mqtt-max-message-bytes -d 'Bytes of the largest message that is read; a larger one is counted and dropped' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l listen-addr -d 'Address to serve functions on; :: serves IPv6 as well' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l listen-port -d 'Port to serve functions on; 0 takes any free port' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l http-queue -d 'Requests that may wait for a worker; one more gets 503 with Retry-After' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l http-max-connections -d 'Open connections at one time' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l http-max-connections-per-peer -d 'Open connections of one address at one time' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l http-max-head-bytes -d 'Bytes of request line and headers' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l http-head-timeout-secs -d 'Seconds in which request line and headers must have arrived' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l http-max-body-bytes -d 'Bytes of a request body; a larger one gets 413' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l http-body-timeout-secs -d 'Seconds in which a request body must have arrived' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l http-idle-timeout-secs -d 'Seconds that a connection is kept open without a request' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l http-tls-cert-file -d 'PEM file of the certificates to serve HTTPS with, this node\'s first; without one, plain HTTP' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l http-tls-key-file -d 'PEM file of the first certificate\'s private key' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l api-keys-file -d 'TOML file of who may do what at LISTEN_PORT; without one, routes are open there and the API is not' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l api-max-body-bytes -d 'Bytes of a request body of the management API; a larger one gets 413' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l wasm-roots -d 'Directories, separated by `:`, that POST /wasm may read components from; without any, it reads none' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l cache-size-gb -d 'GB (2^30 bytes) of artifacts kept on disk; decimals are accepted, such as 0.5' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l min-free-mb -d 'MB (2^20 bytes) that artifacts leave free on the disk for all else; no download or compilation goes below' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l artifact-max-bytes -d 'Bytes of the largest artifact that is fetched' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l artifact-ca-file -d 'PEM file of the authorities to trust for https://, in downloads and functions\' requests, not the system\'s' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l fetch-connect-timeout-secs -d 'Seconds to reach an artifact server: name look-up, TCP and TLS together' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l fetch-stall-timeout-secs -d 'Seconds that a download may stand still before it is tried again' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l fetch-min-rate-bytes -d 'Bytes a second that a download must bring over FETCH_MIN_RATE_SECS, or it is tried again; 0 for any' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l fetch-min-rate-secs -d 'Seconds over which that is looked at' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l minio-endpoint -d 'Object store for s3:// artifact URLs' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l minio-access-key -d 'Access key of the object store' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l minio-secret-key -d 'Secret key of the object store; a flag shows in the process list: prefer file or environment' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l minio-region -d 'Region of the object store, which its signatures name' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l oci-registry -d 'Registry of oci:// artifact URLs, host or host:port, that gets the user and password below; no other does' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l oci-username -d 'User name for OCI_REGISTRY' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l oci-password -d 'Password for OCI_REGISTRY; a flag shows in the process list: prefer file or environment' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l oci-plain-http -d 'Registries, host or host:port, separated by `,`, that are spoken to without TLS, as those on this device are' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l trusted-keys-file -d 'File of the public keys, a line each, that may sign the hub\'s functions; see `twinlet keygen`' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l require-signatures -d 'Whether every function of the hub\'s must be signed by a key in TRUSTED_KEYS_FILE: true or false' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l min-hot-instances -d 'Instances of a function kept ready, where its desired state does not say' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l max-hot-instances -d 'Instances of a function at one time, where its desired state does not say' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l idle-timeout-secs -d 'Seconds until an idle instance above the minimum is dropped, where the desired state does not say' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l max-workers -d 'Threads that run functions; as many as there are cores run, the others wait in host calls' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l max-memory-pages -d 'Pages of 64 KiB; the most memory that one function may ask for' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l compile-timeout-secs -d 'Seconds of processor time that compiling one artifact may take' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l compile-memory-mb -d 'MB (2^20 bytes) of address space that compiling one artifact may take, at most half of the memory there is' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'Print JSON, for scripts'
complete -c twinlet -n "__fish_twinlet_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c twinlet -n "__fish_twinlet_using_subcommand api-key" -l route -d 'Let it open these paths, such as \'/api/*\'; may stand more than once' -r
complete -c twinlet -n "__fish_twinlet_using_subcommand api-key" -l admin -d 'Let it open the management API, and every route'
complete -c twinlet -n "__fish_twinlet_using_subcommand api-key" -l hmac -d 'Make a secret to sign requests with, not a key to send'
complete -c twinlet -n "__fish_twinlet_using_subcommand api-key" -l json -d 'Print JSON, for scripts'
complete -c twinlet -n "__fish_twinlet_using_subcommand api-key" -s h -l help -d 'Print help'
complete -c twinlet -n "__fish_twinlet_using_subcommand version" -l json -d 'Print JSON, for scripts'
complete -c twinlet -n "__fish_twinlet_using_subcommand version" -s h -l help -d 'Print help'
