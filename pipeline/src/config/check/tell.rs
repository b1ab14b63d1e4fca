//! What must hold of those who are told.

use std::collections::HashMap;
use std::time::Duration;

use super::Check;
use crate::config::{Config, RecordKind};

/// Headers that are not to be set.
const OWN_HEADERS: [&str; 6] =
    ["content-type", "content-length", "host", "webhook-id", "webhook-timestamp", "webhook-signature"];

impl Check<'_> {
    pub(super) fn tell(&mut self, config: &Config) {
        self.names(config);
        let told = !config.webhook.is_empty() || !config.mqtt.is_empty();
        let message =
            "those who are told read what the interface remembers: set control.listen to an address";
        self.ensure(!told || config.control.listen != "off", "control.listen", message);
        for index in 0..config.webhook.len() {
            self.webhook(config, index);
        }
        for index in 0..config.mqtt.len() {
            self.mqtt(config, index);
        }
    }

    fn names(&mut self, config: &Config) {
        let webhooks =
            config.webhook.iter().enumerate().map(|(index, to)| (format!("webhook[{index}]"), &to.name));
        let mqtt = config.mqtt.iter().enumerate().map(|(index, to)| (format!("mqtt[{index}]"), &to.name));
        let mut seen: HashMap<&str, String> = HashMap::new();
        for (section, name) in webhooks.chain(mqtt) {
            let path = format!("{section}.name");
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let good = (1..=100).contains(&name.len()) && name.chars().all(legal);
            self.ensure(good, &path, "a name has 1 to 100 letters, digits, '-', '_' and '.'");
            if let Some(first) = seen.insert(name, section) {
                self.wrong(&path, format!("\"{name}\" is the name of {first} too; names must differ"));
            }
        }
    }

    fn webhook(&mut self, config: &Config, index: usize) {
        let webhook = &config.webhook[index];
        let at = |field: &str| format!("webhook[{index}].{field}");
        let good = webhook.shown_url() != "***" && webhook.url.chars().all(|c| c.is_ascii_graphic());
        self.ensure(good, at("url"), "is no address; write \"https://example.org/hook\"");
        if let Some(Err(message)) = webhook.key() {
            self.wrong(at("secret"), message);
        }
        self.send(&webhook.send, at("send"));
        for (name, value) in &webhook.headers {
            let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            let path = at(&format!("headers.{name}"));
            self.ensure(!name.is_empty() && name.chars().all(token), &path, "is no name of a header");
            let own = OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own));
            self.ensure(!own, &path, "is set by the daemon; remove it");
            let visible = |c: char| c == ' ' || c.is_ascii_graphic();
            self.ensure(value.chars().all(visible), &path, "a header's value has only visible ASCII");
        }
        let template = &webhook.template;
        let json =
            template.is_empty() || serde_json::from_str::<serde_json::Value>(&filled(template)).is_ok();
        self.ensure(json, at("template"), "is no JSON, even with something in the places {{...}}");
        self.ensure(webhook.timeout > Duration::ZERO, at("timeout"), "must be longer than 0");
    }

    fn mqtt(&mut self, config: &Config, index: usize) {
        let mqtt = &config.mqtt[index];
        let at = |field: &str| format!("mqtt[{index}].{field}");
        let message =
            "is no broker; write \"mqtt://host:1883\" or \"mqtts://host:8883\", user and password aside";
        self.ensure(mqtt.address().is_some(), at("broker"), message);
        let named = mqtt.password.is_none() || mqtt.username.is_some();
        self.ensure(named, at("password"), "MQTT knows no password without a username");
        let prefix = &mqtt.prefix;
        let levels = prefix.split('/').all(|level| !level.is_empty() && !level.starts_with('$'));
        let good = levels && prefix.len() <= 200 && !prefix.contains(['+', '#', '\0']);
        self.ensure(good, at("prefix"), "is no beginning of a topic: no '+' and '#', no empty part, no '$'");
        self.send(&mqtt.send, at("send"));
    }

    fn send(&mut self, send: &[RecordKind], path: String) {
        let message = "nothing would be told; name some of \"events\", \"coverage\", \"errors\", \"alerts\", \"streams\"";
        self.ensure(!send.is_empty(), path, message);
    }
}

/// A template with a number in each place.
fn filled(template: &str) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, place)) = rest.split_once("{{") {
        let Some((_, after)) = place.split_once("}}") else { break };
        filled.push_str(before);
        filled.push('0');
        rest = after;
    }
    filled + rest
}
