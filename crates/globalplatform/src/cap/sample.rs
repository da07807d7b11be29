//! CAP files to try things with. Integration tests take this file, too.

use simsync_card::client::{APPLET_AID, PACKAGE_AID};

/// A CAP file to be made: components as tag and content, in any order.
#[derive(Clone)]
pub struct Sample {
    pub parts: Vec<(&'static str, u8, Vec<u8>)>,
    pub deflate: bool,
}

/// A file of the shape that the converter gives for our applet, with so many bytes of code.
pub fn sample(code: usize) -> Sample {
    let mut header = vec![0xDE, 0xCA, 0xFF, 0xED, 1, 2, 0x04, 0, 1, 8];
    header.extend(PACKAGE_AID);
    let import = [vec![1, 1, 0, 7], vec![0xA0, 0, 0, 0, 0x62, 0, 1]].concat();
    let mut applet = vec![1, 9];
    applet.extend(APPLET_AID);
    applet.extend([0, 1]);
    let mut sample = Sample {
        parts: vec![
            ("Header", 1, header),
            ("Import", 4, import),
            ("Applet", 3, applet),
            ("Class", 6, vec![0x61; 20]),
            ("Method", 7, (0..code).map(|n| n.to_le_bytes()[0]).collect()),
            ("StaticField", 8, vec![0x81; 10]),
            ("ConstantPool", 5, vec![0x51; 30]),
            ("RefLocation", 9, vec![0x91; 12]),
            ("Descriptor", 11, vec![0xB1; 40]),
        ],
        deflate: false,
    };
    sample.write_directory();
    sample
}

impl Sample {
    pub fn part(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.parts.iter_mut().find(|p| p.0 == name).unwrap().2
    }

    pub fn without(mut self, name: &str) -> Self {
        self.parts.retain(|p| p.0 != name);
        self
    }

    /// Directory as format 2.1 has it, with the true sizes.
    pub fn write_directory(&mut self) {
        self.parts.retain(|p| p.0 != "Directory");
        let size = |tag: u8| -> u16 {
            if tag == 2 {
                return 31;
            }
            let part = self.parts.iter().find(|p| p.1 == tag);
            part.map_or(0, |p| p.2.len().try_into().unwrap())
        };
        let mut directory: Vec<u8> = (1..=11).flat_map(|tag| size(tag).to_be_bytes()).collect();
        directory.extend([0; 6]);
        directory.extend([1, 1, 0]);
        self.parts.push(("Directory", 2, directory));
    }

    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![
            ("META-INF/MANIFEST.MF".to_owned(), b"Manifest".to_vec()),
            (
                "APPLET-INF/classes/org/simsync/card/javacard/Class.cap".to_owned(),
                b"not a component".to_vec(),
            ),
        ];
        for (name, tag, content) in &self.parts {
            let mut bytes = vec![*tag];
            bytes.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            bytes.extend(content);
            files.push((format!("org/simsync/card/javacard/{name}.cap"), bytes));
        }
        files
    }

    pub fn zip(&self) -> Vec<u8> {
        archive(&self.files(), self.deflate)
    }
}

pub fn archive(files: &[(String, Vec<u8>)], deflate: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut archive = rawzip::ZipArchiveWriter::new(&mut out);
    for (name, bytes) in files {
        let method = if deflate {
            rawzip::CompressionMethod::DEFLATE
        } else {
            rawzip::CompressionMethod::STORE
        };
        let (mut entry, config) = archive
            .new_file(name.as_str())
            .compression_method(method)
            .start()
            .unwrap();
        let packed = if deflate {
            miniz_oxide::deflate::compress_to_vec(bytes, 6)
        } else {
            bytes.clone()
        };
        // The writer counts and sums what is unpacked; what is packed goes past it.
        let mut writer = config.wrap(std::io::sink());
        std::io::Write::write_all(&mut writer, bytes).unwrap();
        let (_, descriptor) = writer.finish().unwrap();
        std::io::Write::write_all(&mut entry, &packed).unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    out
}
