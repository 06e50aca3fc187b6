package statement

// Sample gives some good lines of a file: of a plain one, those of so many blocks spread over
// it; of a packed one, those of its first blocks. Bad lines are left out: the run will
// name them. It returns how many bytes of text a line has there, 0 without any.
func Sample(src Source, blocks, packed int, each func(*Row)) (bytesPerLine float64, err error) {
	const size = 128 << 10
	f, err := Open(src, Options{Block: size})
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	step := int64(1)
	if f.Plain {
		step = max(f.Size/size/int64(blocks), 1)
	} else {
		blocks = packed
	}
	lines := f.NewLines()
	var buf []byte
	var text, count int64
	for range blocks {
		b, done, err := f.Next(&buf)
		if err != nil {
			return 0, err
		}
		if done {
			break
		}
		f.seq.Add(step - 1)
		lines.Reset(b)
		for {
			var row Row
			_, _, fault, ok := lines.Next(&row)
			if !ok {
				break
			}
			if fault == nil {
				each(&row)
			}
		}
		text += int64(len(b.Data))
		count += lines.taken
	}
	if count == 0 {
		return 0, nil
	}
	return float64(text) / float64(count), nil
}
