//! Reads addresses, domains or hashes, one a line, from standard input and prints who warned of
//! which. Nothing but the request's body ever holds the values.

use std::io::BufRead;

use hanse_sdk::local::SearchRequest;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = hanse_examples::client()?;
    for line in std::io::stdin().lock().lines() {
        let value = line?.trim().to_owned();
        if value.is_empty() {
            continue;
        }
        let request = SearchRequest {
            value: value.clone(),
            limit: Some(10),
        };
        for found in client.search(&request).await?.matches {
            println!("{value}\t{}\t{}\t{}", found.author, found.tlp, found.object.get());
        }
    }
    Ok(())
}
