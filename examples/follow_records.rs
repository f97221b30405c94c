//! Prints records as they become complete at the node, and goes on where it stopped: the position
//! printed last is the argument to start after.

use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = hanse_examples::client()?;
    let mut after: u64 = match std::env::args().nth(1) {
        Some(position) => position.parse()?,
        None => 0,
    };
    loop {
        let page = client.records(after, 100, true).await?;
        for record in &page.records {
            let objects = record.objects.as_ref().map_or(0, Vec::len);
            let (position, author, state) = (record.position, &record.author, record.state);
            println!(
                "{position}\t{author}\t{}\t{state:?}\t{objects} objects",
                record.id
            );
        }
        after = page.next;
        if !page.more {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
