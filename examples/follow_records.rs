//! Prints records as they become complete at the node, and goes on where it stopped: the position
//! printed last is the argument to start after.

use futures::StreamExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = hanse_examples::client()?;
    let after = std::env::args().nth(1).map(|position| position.parse());
    let mut events = std::pin::pin!(client.events(after.transpose()?, true));
    // The stream comes back by itself when the node restarts; it ends on what cannot be mended.
    while let Some(record) = events.next().await {
        let record = record?;
        let objects = record.objects.as_ref().map_or(0, Vec::len);
        let (position, author, state) = (record.position, &record.author, record.state);
        println!(
            "{position}\t{author}\t{}\t{state:?}\t{objects} objects",
            record.id
        );
    }
    Ok(())
}
