//! Whether a broker that does not answer as it should speaks the older MQTT alone: then people are
//! told so, and not that nothing can be reached.

use std::sync::Arc;
use std::time::Duration;

use fedwasm_protocol::SessionId;
use fedwasm_trust::Member;
use rumqttc::{
    AsyncClient, ConnectReturnCode, Event, MqttOptions, Packet, TlsConfiguration, Transport,
};

use crate::{BrokerUrl, Security, tls};

/// How long the answer may take.
const TIME_MAX: Duration = Duration::from_secs(3);

/// Whether it welcomes a client of MQTT 3.1.1.
pub(crate) async fn speaks_mqtt_3(url: &BrokerUrl, member: &Member) -> bool {
    let Ok(id) = SessionId::random() else { return false };
    let client_id = format!("{}.{id}", member.participant());
    let mut mqtt = MqttOptions::new(client_id, url.host.clone(), url.port);
    mqtt.set_clean_session(true);
    if url.security == Security::Tls {
        let Ok(config) = tls::client_config(member) else { return false };
        let config = TlsConfiguration::Rustls(Arc::new(config));
        mqtt.set_transport(Transport::tls_with_config(config));
    }
    let (_client, mut events) = AsyncClient::new(mqtt, 1);
    let welcomed = async {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(ack))) => {
                    return ack.code == ConnectReturnCode::Success;
                }
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    };
    tokio::time::timeout(TIME_MAX, welcomed).await.unwrap_or(false)
}
