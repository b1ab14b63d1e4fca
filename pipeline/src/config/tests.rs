use super::*;

const STREAM: &str = "[[stream]]\nid = \"cam\"\nuri = \"rtsp://host/cam\"\n";

fn parse(text: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    Config::parse(text, "a.toml", env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn good(text: &str, env: &[(&str, &str)]) -> Config {
    parse(text, env).unwrap_or_else(|error| panic!("{error}")).config
}

fn wrong(text: &str, env: &[(&str, &str)]) -> String {
    parse(text, env).expect_err("wrong").to_string()
}

#[test]
fn an_empty_file_is_all_defaults() {
    assert_eq!(good("", &[]), Config::default());
    let stream = &good(STREAM, &[]).stream[0];
    assert_eq!(stream, &StreamConfig::new("cam", "rtsp://host/cam"));
    assert!(stream.is_live());
}

#[test]
fn a_file_that_is_no_utf8_is_told_by_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.toml");
    std::fs::write(&path, b"[log]\nlevel = \"info\" # f\xfcr alle\n").expect("written");
    let error = Config::load(&path, []).expect_err("Latin-1").to_string();
    let place = format!("{}:2:19: the byte 0xFC is no UTF-8; save the file as UTF-8", path.display());
    assert!(error.starts_with(&place), "{error}");
}

#[test]
fn errors_name_file_line_column_field_and_what_to_do() {
    let at_stream = |line: &str| format!("{STREAM}{line}\n");
    let cases = [
        (
            "[model]\ndevise = 1\n".to_owned(),
            "a.toml:2:1: model.devise: unknown field `devise`, expected one of `path`",
        ),
        (
            "[model]\ndevice = \"gpu\"\n".to_owned(),
            "a.toml:2:10: model.device: \"gpu\" is no device; use \"auto\"",
        ),
        ("[model\n".to_owned(), "a.toml:1:7: "),
        (
            "[log]\nlevel = \"loud\"\n".to_owned(),
            "a.toml:2:9: log.level: unknown variant `loud`, expected one of",
        ),
        ("[schedule]\nlinger = 20\n".to_owned(), "a.toml:2:10: schedule.linger: invalid type: integer `20`"),
        (
            "[schedule]\nlinger = \"soon\"\n".to_owned(),
            "a.toml:2:10: schedule.linger: \"soon\" is no duration; write",
        ),
        ("[[stream]]\nid = \"a\"\n".to_owned(), "a.toml:1:1: stream[0]: missing field `uri`"),
        (at_stream("window = \"0s\""), "a.toml:4:10: stream[0].window: a window cannot be 0 long"),
        (
            at_stream("window = \"8s\"\nhop = \"10s\""),
            "a.toml:5:7: stream[0].hop: 10s is longer than the window of 8s",
        ),
        (at_stream("loop = true"), "a.toml:4:8: stream[0].loop: only a file can be looped"),
        (
            "[sink.kafka.properties]\n\"sasl.pasword\" = \"hunter2\"\n".to_owned(),
            "a.toml:1:1: sink.kafka.properties: there is no property \"sasl.pasword\"; did you mean \"sasl.password\"?",
        ),
        (at_stream("min_windows = 0"), "a.toml:4:15: stream[0].min_windows: must be at least 1"),
        (
            at_stream("isolation = \"thread\""),
            "a.toml:4:13: stream[0].isolation: unknown variant `thread`, expected `process` or `none`",
        ),
        (
            at_stream("mask = [[0.5, 0.0, 0.6, 1.0]]"),
            "a.toml:4:9: stream[0].mask[0]: must be [left, top, width, height]",
        ),
        (
            "[clips]\nstore = \"gs://a\"\n".to_owned(),
            "a.toml:2:9: clips.store: \"gs://a\" is no store; name a folder",
        ),
        (
            "[clips]\nring_time = \"1m\"\n".to_owned(),
            "a.toml:2:13: clips.ring_time: must be longer than clips.pre_roll",
        ),
        (
            "[clips]\npublic_url = \"host/\"\n".to_owned(),
            "a.toml:2:14: clips.public_url: must begin with http",
        ),
        ("[clips.s3]\naccess_key_id = \"a\"\n".to_owned(), "clips.s3.access_key_id: is of use only together"),
        (at_stream("detect = false"), "a.toml:4:10: stream[0].detect: nothing is asked"),
        (at_stream("queries = [\"a\", \"a\"]"), "a.toml:4:17: stream[0].queries[1]: \"a\" is asked twice"),
        (at_stream("reconnect = { jitter = 2 }"), "stream[0].reconnect.jitter: must be from 0 to 1"),
        (format!("{STREAM}{STREAM}"), "a.toml:5:6: stream[1].id: \"cam\" is the id of stream[0] too"),
        (
            "[[stream]]\nid = \"a\"\nuri = \"gopher://x\"\n".to_owned(),
            "a.toml:3:7: stream[0].uri: gopher://x: the scheme",
        ),
        (
            "[sink.kafka.properties]\nacks = \"1\"\n".to_owned(),
            "sink.kafka.properties: \"acks\" cannot be set",
        ),
        (
            "[control]\nlisten = \"9464\"\n".to_owned(),
            "a.toml:2:10: control.listen: \"9464\" is no address; use",
        ),
        ("[defaults]\nid = \"a\"\n".to_owned(), "a.toml:2:1: defaults.id: every [[stream]] needs its own"),
    ];
    for (text, expected) in cases {
        let said = wrong(&text, &[]);
        assert!(said.contains(expected), "{text}\n  said {said}\n  not  {expected}");
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let said = wrong(
        &format!(
            "[schedule]\nmax_batch = 0\n{STREAM}hop = \"0s\"\nmin_score = 7\nmin_query_score = -1\nunchanged = 2\n"
        ),
        &[],
    );
    assert_eq!(said.lines().count(), 5, "{said}");
}

#[test]
fn defaults_fill_what_a_stream_does_not_say() {
    let text = "[defaults]\nhop = \"5s\"\nmin_score = 0.5\n[defaults.reconnect]\nmax = \"1m\"\njitter = 0.0\n\
        [[stream]]\nid = \"a\"\nuri = \"a.mp4\"\n[[stream]]\nid = \"b\"\nuri = \"b.mp4\"\nhop = \"2s\"\nreconnect.jitter = 0.1\n";
    let streams = good(text, &[]).stream;
    let facts = |s: &StreamConfig| {
        (s.hop.map(|hop| hop.as_secs()), s.min_score, s.reconnect.max.as_secs(), s.reconnect.jitter)
    };
    assert_eq!(facts(&streams[0]), (Some(5), Some(0.5), 60, 0.0));
    assert_eq!(facts(&streams[1]), (Some(2), Some(0.5), 60, 0.1));
    let said = wrong(&format!("[defaults]\nhopp = \"5s\"\n{STREAM}"), &[]);
    assert!(said.starts_with("a.toml:2:1: stream[0].hopp: unknown field"), "{said}");
}

#[test]
fn the_environment_goes_before_the_file() {
    let text = format!("[sink.kafka]\nbrokers = \"a:1\"\n{STREAM}hop = \"5s\"\n");
    let env = [
        ("AVICUNA__SINK__KAFKA__BROKERS", "b:1,c:2"),
        ("AVICUNA__SINK__KAFKA__PROPERTIES", "{ \"sasl.password\" = \"x\" }"),
        ("AVICUNA__SCHEDULE__MAX_BATCH", "9"),
        ("AVICUNA__STREAM__0__HOP", "2s"),
        ("AVICUNA__STREAM__CAM__QUERIES", "[\"a bell\"]"),
        ("AVICUNA__STREAM__1__ID", "new"),
        ("AVICUNA__STREAM__1__URI", "test://"),
        ("AVICUNA__DEFAULTS__MIN_SCORE", "0.9"),
        ("AVICUNA_CACHE", "not ours"),
    ];
    let config = good(&text, &env);
    assert_eq!((config.sink.kafka.brokers.as_str(), config.schedule.max_batch), ("b:1,c:2", 9));
    assert_eq!(config.sink.kafka.properties["sasl.password"], "x");
    let [cam, new] = &config.stream[..] else { panic!("{:?}", config.stream) };
    assert_eq!(
        (cam.hop, &cam.queries[..], cam.min_score),
        (Some(Duration::from_secs(2)), &["a bell".to_owned()][..], Some(0.9))
    );
    assert_eq!((new.id.as_str(), new.uri.as_str()), ("new", "test://"));
}

#[test]
fn errors_in_the_environment_name_the_variable() {
    let cases = [
        (
            "AVICUNA__MODEL__DEVISE",
            "cpu",
            "environment variable AVICUNA__MODEL__DEVISE: model.devise: unknown field",
        ),
        (
            "AVICUNA__MODEL__DEVICE",
            "gpu",
            "environment variable AVICUNA__MODEL__DEVICE: model.device: \"gpu\"",
        ),
        ("AVICUNA__STREAM__DOOR__HOP", "1s", "there is no stream with the id or index \"door\""),
        (
            "AVICUNA__STREAM__CAM__HOP",
            "0s",
            "environment variable AVICUNA__STREAM__CAM__HOP: stream[0].hop: a hop",
        ),
        ("AVICUNA__MODEL", "x", "environment variable AVICUNA__MODEL: model: invalid type"),
    ];
    for (name, value, expected) in cases {
        let said = wrong(STREAM, &[(name, value)]);
        assert!(said.contains(expected), "said {said}\nnot  {expected}");
    }
}

#[test]
fn secrets_can_be_kept_elsewhere_and_are_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("password");
    std::fs::write(&path, "hunter2\n").expect("writes");
    let text = format!(
        "[sink.kafka.properties]\n\"sasl.password\" = {{ file = {path:?} }}\n\
         [[stream]]\nid = \"a\"\nuri = \"rtsp://me:pass@host/a?token=t\"\n"
    );
    let config = good(&text, &[]);
    assert_eq!(config.sink.kafka.properties["sasl.password"], "hunter2");
    let shown = toml::to_string(&config.redacted()).expect("serialises");
    let text = format!(
        "[[webhook]]\nname = \"a\"\nurl = \"https://me:pass@host/hookkey?token=t\"\nsecret = {{ file = {path:?} }}\n\
         headers = {{ Authorization = \"Bearer key\" }}\n\
         [[mqtt]]\nname = \"b\"\nbroker = \"mqtt://host\"\nusername = \"me\"\npassword = {{ file = {path:?} }}\n"
    );
    let text =
        format!("{text}[clips.s3]\naccess_key_id = \"me\"\nsecret_access_key = {{ file = {path:?} }}\n");
    let config = good(&text, &[]);
    assert_eq!(config.clips.s3.secret_access_key.as_deref(), Some("hunter2"));
    assert_eq!(config.webhook[0].secret.as_deref(), Some("hunter2"));
    let shown = format!("{shown}{}{config:?}", toml::to_string(&config.redacted()).expect("serialises"));
    for secret in ["Bearer key", "hookkey", "hunter2", "pass@", "token=t"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let said = wrong("[sink.kafka.properties]\na = { env = \"AVICUNA_TEST_IS_NOT_SET\" }\n", &[]);
    assert!(said.contains("a.toml:2:5: ") && said.contains("AVICUNA_TEST_IS_NOT_SET is not set"), "{said}");
}

#[test]
fn what_is_shown_can_be_read_again() {
    let text = format!("{STREAM}hop = \"1m 30s\"\nwindow = \"2m\"\nreconnect.give_up_after = \"1h\"\n");
    let config = good(&text, &[]);
    assert_eq!(good(&toml::to_string(&config).expect("serialises"), &[]), config);
}

/// Keys, as `section.key`; those of streams without their index.
fn keys(value: &toml::Value, prefix: &str, into: &mut Vec<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                keys(value, &path, into);
            }
        }
        toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
            items.iter().for_each(|item| keys(item, prefix, into));
        }
        _ => into.push(prefix.to_owned()),
    }
}

/// Keys that the text sets or, behind `#`, shows, with the section they stand in.
fn shown(text: &str) -> Vec<String> {
    let mut section = String::new();
    let mut shown = Vec::new();
    for line in text.lines().map(|line| line.trim_start_matches("# ").trim_start_matches('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
            section = name.trim_start_matches('[').to_owned();
        } else if let Some((key, _)) = line.split_once(" = ")
            && !key.contains(' ')
        {
            shown.push(format!("{section}.{key}"));
        }
    }
    shown
}

#[test]
fn the_example_is_valid_and_has_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/avicuna.toml");
    let text = std::fs::read_to_string(&path).expect("config/avicuna.toml is there");
    good(&text, &[]);
    let mut full = Config { stream: vec![StreamConfig::new("a", "b")], ..Config::default() };
    let second = Some(Duration::from_secs(1));
    let stream = &mut full.stream[0];
    (stream.live, stream.window, stream.hop, stream.reconnect.give_up_after) =
        (Some(true), second, second, second);
    let webhook = "name = \"a\"\nurl = \"https://a\"\nsecret = \"s\"\n";
    full.webhook = vec![toml::from_str(webhook).expect("a webhook")];
    let mqtt = "name = \"b\"\nbroker = \"mqtt://b\"\nusername = \"me\"\npassword = \"p\"\n";
    full.mqtt = vec![toml::from_str(mqtt).expect("a broker")];
    let some = || Some("x".to_owned());
    full.clips.store = some();
    full.clips.work = Some("x".into());
    full.clips.s3 =
        S3Config { endpoint: some(), region: some(), access_key_id: some(), secret_access_key: some() };
    let mut all = Vec::new();
    keys(&toml::Value::try_from(&full).expect("serialises"), "", &mut all);
    let shown = shown(&text);
    let missing: Vec<_> = all.iter().filter(|key| !shown.contains(key)).collect();
    assert!(missing.is_empty(), "config/avicuna.toml does not show {missing:?}; it shows {shown:?}");
}

#[test]
fn what_is_wrong_with_those_who_are_told_is_said() {
    let hook = |rest: &str| format!("[[webhook]]\nname = \"a\"\nurl = \"https://host/hook\"\n{rest}\n");
    let broker = |rest: &str| format!("[[mqtt]]\nname = \"b\"\nbroker = \"mqtt://host\"\n{rest}\n");
    good(
        &(hook("secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"") + &broker("prefix = \"home/av\"")),
        &[],
    );
    for (text, expected) in [
        (hook("") + &hook(""), "webhook[1].name: \"a\" is the name of webhook[0] too"),
        (
            hook("") + &broker("").replace("\"b\"", "\"a\""),
            "mqtt[0].name: \"a\" is the name of webhook[0] too",
        ),
        (hook("").replace("\"a\"", "\"a b\""), "webhook[0].name: a name has 1 to 100 letters"),
        (hook("").replace("https://host/hook", "host/hook"), "webhook[0].url: is no address"),
        (hook("secret = \"whsec_?\""), "webhook[0].secret: after whsec_ Base64 must follow"),
        (hook("send = []"), "webhook[0].send: nothing would be told"),
        (hook("send = [\"alarms\"]"), "unknown variant `alarms`"),
        (hook("headers = { \"Webhook-Id\" = \"x\" }"), "webhook[0].headers.Webhook-Id: is set by the daemon"),
        (hook("template = '{\"a\": {{b}'"), "webhook[0].template: is no JSON"),
        (hook("timeout = \"0s\""), "webhook[0].timeout: must be longer than 0"),
        (broker("").replace("mqtt://host", "tcp://host"), "mqtt[0].broker: is no broker"),
        (broker("").replace("mqtt://host", "mqtt://me:pass@host"), "mqtt[0].broker: is no broker"),
        (broker("password = \"p\""), "mqtt[0].password: MQTT knows no password without a username"),
        (broker("prefix = \"a/+\""), "mqtt[0].prefix: is no beginning of a topic"),
        (format!("control.listen = \"off\"\n{}", hook("")), "control.listen: those who are told"),
    ] {
        let said = wrong(&text, &[]);
        assert!(said.contains(expected), "{text}\n{said}");
    }
    let address = |broker: &str| {
        let text = format!("name = \"b\"\nbroker = \"{broker}\"\n");
        toml::from_str::<MqttConfig>(&text).expect("a broker").address()
    };
    assert_eq!(address("mqtts://host"), Some((true, "host".to_owned(), 8883)));
    assert_eq!(address("mqtt://[::1]:1234"), Some((false, "::1".to_owned(), 1234)));
    assert_eq!(address("mqtt://host:0x"), None);
}
