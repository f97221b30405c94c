//! Publishes one indicator, sealed to the members named as arguments, or to everybody if none is.

use hanse_sdk::Draft;
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = hanse_examples::client()?;
    let seen = "2026-11-23T02:10:00.000Z";
    let indicator = json!({
        "type": "indicator",
        "spec_version": "2.1",
        "id": "indicator--0b5d6bb4-7f27-4b9c-9d5e-3c6a6c1f7f10",
        "created": seen,
        "modified": seen,
        "name": "Address that probes pump controllers",
        "pattern": "[ipv4-addr:value = '198.51.100.23']",
        "pattern_type": "stix",
        "valid_from": seen,
    });
    let readers: Vec<_> = std::env::args()
        .skip(1)
        .map(|handle| handle.parse())
        .collect::<Result<_, _>>()?;
    let draft = Draft::new().written(&indicator)?;
    let draft = if readers.is_empty() {
        draft
    } else {
        draft.to(readers)
    };
    let reply = client.publish(draft).await?;
    for record in reply.records {
        println!(
            "{} at position {}, for {:?}",
            record.id, record.position, record.readers
        );
    }
    for refused in reply.refused {
        eprintln!("not published: {}", refused.reason);
    }
    Ok(())
}
