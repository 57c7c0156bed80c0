//! Expressions over whole columns of draws: compiled once, run in blocks that stay in the nearest cache.
//!
//! Everything is an f64; a truth value is 1 or 0 and what is missing is NaN, so that three-valued logic is
//! arithmetic without branches. Each draw gets what [`Expr::eval`] would give it.

use super::parse::{Kind, kind_of};
use super::{Arithmetic, Comparison, Expr, ExprError, Function, Node};

/// Draws of one block.
const BLOCK: usize = 512;

/// What a compiled expression is to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    Condition,
    /// A number; a condition counts as 1 or 0.
    Number,
}

/// The values of one name.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// One for each draw.
    Column(&'a [f32]),
    /// The same for all.
    Scalar(f64),
}

/// An expression ready to be run over columns.
#[derive(Debug, Clone)]
pub struct Program {
    /// In the order in which a stack of blocks takes them.
    steps: Vec<Step>,
    depth: usize,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Push(f64),
    Load(usize),
    Negate,
    Not,
    IsNull,
    And,
    Or,
    Compare(Comparison),
    Arithmetic(Arithmetic),
    Call(Function),
    /// Copies the block this far below the top.
    Copy(usize),
    /// Puts the top in place of the block below it.
    Keep,
}

impl Expr {
    /// Makes the expression ready for columns of numbers.
    ///
    /// Errors, at the character, where it compares texts, asks for elements, or is not what is wanted.
    pub fn compile(&self, want: Want) -> Result<Program, ExprError> {
        let mut program = Program { steps: Vec::new(), depth: 0 };
        if let Some(name) = self.names.iter().find(|name| name.element.is_some()) {
            return Err(
                self.wrong(name.at, format!("`{}` is one number per draw, without elements", name.name))
            );
        }
        Compiler { expr: self, program: &mut program, height: 0 }.node(&self.root)?;
        match (want, &self.root) {
            (Want::Condition, Node::Name(index)) => self.truth_needed(*index)?,
            (Want::Condition, root) if kind_of(root) == Kind::Number => {
                return Err(self.wrong(0, "a condition is needed, this is a number"));
            }
            _ => {}
        }
        Ok(program)
    }

    fn truth_needed(&self, name: usize) -> Result<(), ExprError> {
        let name = &self.names[name];
        Err(self.wrong(name.at, format!("a condition is needed, `{name}` is a number")))
    }
}

struct Compiler<'a> {
    expr: &'a Expr,
    program: &'a mut Program,
    height: usize,
}

impl Compiler<'_> {
    fn push(&mut self, step: Step) {
        match step {
            Step::Push(_) | Step::Load(_) | Step::Copy(_) => self.height += 1,
            Step::Negate | Step::Not | Step::IsNull => {}
            Step::Call(function) if function.arity() == 1 => {}
            _ => self.height -= 1,
        }
        self.program.depth = self.program.depth.max(self.height);
        self.program.steps.push(step);
    }

    fn truth(&mut self, node: &Node) -> Result<(), ExprError> {
        if let Node::Name(index) = node {
            self.expr.truth_needed(*index)?;
        }
        self.node(node)
    }

    fn node(&mut self, node: &Node) -> Result<(), ExprError> {
        match node {
            Node::Number(number) => self.push(Step::Push(*number)),
            Node::Bool(value) => self.push(Step::Push(f64::from(u8::from(*value)))),
            Node::Null => self.push(Step::Push(f64::NAN)),
            Node::Text { at, .. } => return Err(self.expr.wrong(*at, "draws are numbers, this is a text")),
            Node::Aggregate(index) => {
                let at = self.expr.aggregates[*index].at;
                return Err(self
                    .expr
                    .wrong(at, "this is one number for all draws and cannot stand among them"));
            }
            Node::Name(index) => self.push(Step::Load(*index)),
            Node::Not(inner) => {
                self.truth(inner)?;
                self.push(Step::Not);
            }
            Node::Negate(inner) => {
                self.node(inner)?;
                self.push(Step::Negate);
            }
            Node::IsNull(inner) => {
                self.node(inner)?;
                self.push(Step::IsNull);
            }
            Node::Logic { is_and, left, right } => {
                self.truth(left)?;
                self.truth(right)?;
                self.push(if *is_and { Step::And } else { Step::Or });
            }
            Node::Compare { how, left, right } => {
                self.node(left)?;
                self.node(right)?;
                self.push(Step::Compare(*how));
            }
            Node::Arithmetic { how, left, right } => {
                self.node(left)?;
                self.node(right)?;
                self.push(Step::Arithmetic(*how));
            }
            Node::Call { function, arguments } => {
                for argument in arguments {
                    self.node(argument)?;
                }
                self.push(Step::Call(*function));
            }
            Node::Between { value, ends } => {
                self.node(value)?;
                self.push(Step::Copy(0));
                self.node(&ends[0])?;
                self.push(Step::Compare(Comparison::GreaterOrEqual));
                self.push(Step::Copy(1));
                self.node(&ends[1])?;
                self.push(Step::Compare(Comparison::LessOrEqual));
                self.push(Step::And);
                self.push(Step::Keep);
            }
            Node::Among { value, list } => {
                self.node(value)?;
                for (i, member) in list.iter().enumerate() {
                    self.push(Step::Copy(usize::from(i > 0)));
                    self.node(member)?;
                    self.push(Step::Compare(Comparison::Equal));
                    if i > 0 {
                        self.push(Step::Or);
                    }
                }
                self.push(Step::Keep);
            }
        }
        Ok(())
    }
}

type Block = [f64; BLOCK];

impl Program {
    /// Hands the value of each of `n` draws, a block at a time with the number of the first, to `take`.
    ///
    /// `inputs` holds the values of the expression's names in their order; columns have `n` values.
    pub fn run(&self, inputs: &[Input<'_>], n: usize, mut take: impl FnMut(usize, &[f64])) {
        let mut stack = vec![[0.0; BLOCK]; self.depth.max(1)];
        for start in (0..n).step_by(BLOCK) {
            let len = BLOCK.min(n - start);
            self.block(inputs, start, len, &mut stack);
            take(start, &stack[0][..len]);
        }
    }

    /// The value of each draw, NaN where it is missing.
    pub fn values(&self, inputs: &[Input<'_>], n: usize, out: &mut Vec<f64>) {
        out.clear();
        self.run(inputs, n, |_, values| out.extend_from_slice(values));
    }

    /// The share of the weight (of the draws, without `weights`) for which the condition is true; NaN of no draws.
    pub fn probability(&self, inputs: &[Input<'_>], n: usize, weights: Option<&[f32]>) -> f64 {
        let (mut yes, mut all) = (0.0, 0.0);
        self.run(inputs, n, |start, values| match weights {
            // missing is not true
            None => {
                yes += values.iter().filter(|&&value| value == 1.0).count() as f64;
                all += values.len() as f64;
            }
            Some(weights) => {
                for (&value, &weight) in values.iter().zip(&weights[start..]) {
                    let weight = f64::from(weight);
                    all += weight;
                    yes += if value == 1.0 { weight } else { 0.0 };
                }
            }
        });
        yes / all
    }

    fn block(&self, inputs: &[Input<'_>], start: usize, len: usize, stack: &mut [Block]) {
        let mut height = 0;
        for step in &self.steps {
            match *step {
                Step::Push(number) => {
                    stack[height].fill(number);
                    height += 1;
                }
                Step::Load(name) => {
                    match inputs[name] {
                        Input::Scalar(value) => stack[height].fill(value),
                        Input::Column(column) => {
                            for (to, &from) in stack[height].iter_mut().zip(&column[start..start + len]) {
                                *to = f64::from(from);
                            }
                        }
                    }
                    height += 1;
                }
                Step::Copy(below) => {
                    stack[height] = stack[height - 1 - below];
                    height += 1;
                }
                Step::Keep => {
                    stack[height - 2] = stack[height - 1];
                    height -= 1;
                }
                Step::Negate => each(&mut stack[height - 1], |x| -x),
                Step::Not => each(&mut stack[height - 1], |x| 1.0 - x),
                Step::IsNull => each(&mut stack[height - 1], |x| f64::from(u8::from(x.is_nan()))),
                Step::Call(function) if function.arity() == 1 => one(function, &mut stack[height - 1]),
                Step::And => pair(stack, &mut height, |x, y| if x == 0.0 || y == 0.0 { 0.0 } else { x * y }),
                Step::Or => pair(stack, &mut height, |x, y| if x == 1.0 || y == 1.0 { 1.0 } else { x + y }),
                Step::Compare(how) => compare(how, stack, &mut height),
                Step::Arithmetic(how) => match how {
                    Arithmetic::Add => pair(stack, &mut height, |x, y| x + y),
                    Arithmetic::Subtract => pair(stack, &mut height, |x, y| x - y),
                    Arithmetic::Multiply => pair(stack, &mut height, |x, y| x * y),
                    Arithmetic::Divide => pair(stack, &mut height, |x, y| x / y),
                    Arithmetic::Power => pair(stack, &mut height, |x, y| known(x, y, x.powf(y))),
                },
                Step::Call(Function::Min) => pair(stack, &mut height, |x, y| known(x, y, x.min(y))),
                Step::Call(Function::Max) => pair(stack, &mut height, |x, y| known(x, y, x.max(y))),
                Step::Call(function) => pair(stack, &mut height, |x, y| match function.apply([x, y]) {
                    super::Value::Bool(value) => f64::from(u8::from(value)),
                    super::Value::Number(value) => value,
                    _ => f64::NAN,
                }),
            }
        }
    }
}

/// What comes of two values that may be missing, where the operation itself would pass over a NaN.
fn known(x: f64, y: f64, result: f64) -> f64 {
    if x.is_nan() || y.is_nan() { f64::NAN } else { result }
}

fn each(block: &mut Block, of: impl Fn(f64) -> f64) {
    block.iter_mut().for_each(|value| *value = of(*value));
}

fn pair(stack: &mut [Block], height: &mut usize, of: impl Fn(f64, f64) -> f64) {
    let (below, top) = stack.split_at_mut(*height - 1);
    *height -= 1;
    if let Some(left) = below.last_mut() {
        for (x, &y) in left.iter_mut().zip(&top[0]) {
            *x = of(*x, y);
        }
    }
}

fn compare(how: Comparison, stack: &mut [Block], height: &mut usize) {
    let truth = |x: f64, y: f64, holds: bool| known(x, y, f64::from(u8::from(holds)));
    match how {
        Comparison::Equal => pair(stack, height, |x, y| truth(x, y, x == y)),
        Comparison::NotEqual => pair(stack, height, |x, y| truth(x, y, x != y)),
        Comparison::Less => pair(stack, height, |x, y| truth(x, y, x < y)),
        Comparison::LessOrEqual => pair(stack, height, |x, y| truth(x, y, x <= y)),
        Comparison::Greater => pair(stack, height, |x, y| truth(x, y, x > y)),
        Comparison::GreaterOrEqual => pair(stack, height, |x, y| truth(x, y, x >= y)),
    }
}

fn one(function: Function, block: &mut Block) {
    match function {
        Function::Abs => each(block, f64::abs),
        Function::Sqrt => each(block, f64::sqrt),
        Function::Exp => each(block, f64::exp),
        Function::Ln => each(block, f64::ln),
        Function::Log10 => each(block, f64::log10),
        Function::Floor => each(block, f64::floor),
        Function::Min | Function::Max | Function::Bit => {}
    }
}
