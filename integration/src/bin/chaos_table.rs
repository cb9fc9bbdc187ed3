//! `chaos_table`: the faults that the tests have injected so far, as a table on stdout.
//! `chaos_table points`: the fault points of all tasks, one a line.

use anyhow::Context;
use integration::chaos;

fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("points") {
        for point in frame::FAILPOINTS {
            println!("{point}");
        }
        return Ok(());
    }
    let path = chaos::record_file();
    let lines = std::fs::read_to_string(&path).with_context(|| path)?;
    print!("{}", chaos::table(&lines)?);
    Ok(())
}
