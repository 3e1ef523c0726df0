//! Embeds the built pages.

#[path = "../shared/ui/embed.rs"]
mod embed;

fn main() {
    embed::embed("ui/dist");
}
