//! Scratch.
use std::time::Instant;
fn main() {
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).unwrap();
        for round in 0..3 {
            let t0 = Instant::now();
            let object = match ig_loader::Object::parse("x", &bytes) {
                Ok(o) => o,
                Err(e) => {
                    println!("{path}: PARSE {e} {:?}", std::error::Error::source(&e));
                    break;
                }
            };
            let t1 = Instant::now();
            match ig_loader::Loader::new(&object).load() {
                Err(e) => {
                    println!("{path}: LOAD {e} src={:?}", std::error::Error::source(&e));
                    if std::env::var("LOG").is_ok() {
                        println!("{}", e.verifier_log().unwrap_or(""));
                    }
                    break;
                }
                Ok(l) => {
                    println!(
                        "{path} round {round}: ok parse {:?} load {:?} maps {} progs {}",
                        t1 - t0,
                        t1.elapsed(),
                        l.maps().len(),
                        l.programs().len()
                    );
                    if round == 0 {
                        let mut links = vec![];
                        for p in l.programs() {
                            match l.attach(&p.name) {
                                Ok(k) => links.push(k),
                                Err(e) => {
                                    println!("   attach {}: {e} {:?}", p.name, std::error::Error::source(&e))
                                }
                            }
                        }
                    }
                    if std::env::var("TAG").is_ok() && round == 0 {
                        use std::os::fd::AsFd;
                        for p in l.programs() {
                            let i = ig_kernel::sys::bpf::prog_info(p.fd.as_fd()).unwrap();
                            println!(
                                "TAG {} {}",
                                &p.name[..p.name.len().min(15)],
                                i.tag.iter().map(|b| format!("{b:02x}")).collect::<String>()
                            );
                        }
                    }
                    if std::env::var("PAUSE").is_ok() {
                        std::thread::sleep(std::time::Duration::from_secs(20));
                    }
                }
            }
        }
    }
}
